#include "passes/rewrite_subgraphs.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/infer.h"
#include "ops/subgraph.h"
#include "passes/simplify/fold_constants.h"

namespace amct {
namespace {

constexpr size_t kSmallBytes = 1024;

bool is_read(const Graph& graph, ValueId id) { return !graph.value(id).uses.empty() || graph.is_output(id); }

struct Body {
  std::string attr;
  Graph graph;

  ValueId capture(size_t index, size_t captures) const {
    return graph.inputs()[graph.inputs().size() - captures + index];
  }
};

class Rewriter {
 public:
  Rewriter(Graph& graph, NodeId id, const PassContext& context, bool to_run, PassReport& report)
      : graph_(graph),
        id_(id),
        context_(context),
        to_run_(to_run),
        report_(report),
        captures_(capture_count(graph.node(id))) {
    for (const Subgraph& inner : subgraphs(graph.node(id))) bodies_.push_back({inner.attr, *inner.graph});
  }

  int run() {
    move_constants_in();
    for (Body& body : bodies_) changes_ += run_passes_in(body);
    drop_unread_captures();
    if (changes_ > 0) {
      Node& node = graph_.node(id_);
      for (Body& body : bodies_) node.attrs.set(body.attr, std::make_shared<const Graph>(std::move(body.graph)));
      node.attrs.set(kCaptures, static_cast<int64_t>(captures_));
    }
    return changes_;
  }

 private:
  size_t port_of(size_t capture) const { return graph_.node(id_).inputs.size() - captures_ + capture; }

  int run_passes_in(Body& body) {
    const Graph before = body.graph;
    int changes = 0;
    try {
      const FormalTypes formal(body.graph, captures_);
      if (to_run_) {
        changes += fold_constants(body.graph, context_).changes;
        if (changes > 0) update_types(body.graph);
      }
      for (const PassInfo* pass : context_.passes) {
        const int more = pass->run(body.graph, context_).changes;
        if (more > 0) update_types(body.graph);
        changes += more;
      }
      return changes;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInternal || error.code() == ErrorCode::kResource) throw;
      body.graph = before;
      report_.left_alone(graph_.node(id_).name, fmt::format("{} stays as it is: {}", body.attr, error.message()));
      return 0;
    }
  }

  void move_constants_in() {
    for (size_t i = 0; i < captures_; ++i) {
      const ValueId outer = graph_.node(id_).inputs[port_of(i)];
      const Tensor* data = outer.valid() ? graph_.constant(outer) : nullptr;
      if (data == nullptr) continue;
      const auto readers = std::count_if(bodies_.begin(), bodies_.end(), [&](const Body& body) {
        return is_read(body.graph, body.capture(i, captures_));
      });
      const bool alone = graph_.value(outer).uses.size() == 1 && !graph_.is_output(outer) && readers == 1;
      if (readers == 0 || (!alone && !to_run_ && data->byte_size() > kSmallBytes)) continue;
      for (Body& body : bodies_) {
        const ValueId input = body.capture(i, captures_);
        if (!is_read(body.graph, input)) continue;
        const std::string name = body.graph.value(input).name;
        const ValueId constant = body.graph.add_constant(name, *data);
        body.graph.replace_uses(input, constant);
        ++changes_;
      }
    }
  }

  void drop_unread_captures() {
    for (size_t i = captures_; i-- > 0;) {
      const bool read = std::any_of(bodies_.begin(), bodies_.end(),
                                    [&](const Body& body) { return is_read(body.graph, body.capture(i, captures_)); });
      if (read) continue;
      for (Body& body : bodies_) body.graph.erase_value(body.capture(i, captures_));
      std::vector<ValueId> inputs = graph_.node(id_).inputs;
      inputs.erase(inputs.begin() + static_cast<long>(port_of(i)));
      graph_.set_inputs(id_, std::move(inputs));
      --captures_;
      ++changes_;
    }
  }

  Graph& graph_;
  NodeId id_;
  const PassContext& context_;
  bool to_run_;
  PassReport& report_;
  size_t captures_;
  std::vector<Body> bodies_;
  int changes_ = 0;
};

PassReport rewrite(Graph& graph, const PassContext& context, bool to_run) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.is_opaque() || !has_subgraphs(node)) continue;
    const std::string name = node.name;
    const int changes = Rewriter(graph, id, context, to_run, report).run();
    if (changes > 0) report.applied(name, fmt::format("rewrote its subgraphs: {} changes", changes));
  }
  return report;
}

}  // namespace

PassReport rewrite_subgraphs(Graph& graph, const PassContext& context) { return rewrite(graph, context, false); }

PassReport rewrite_subgraphs_to_run(Graph& graph, const PassContext& context) { return rewrite(graph, context, true); }

}  // namespace amct
