#include "exec/segments.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "exec/extract.h"
#include "exec/graph_runner.h"
#include "exec/interpret.h"
#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

// Tensors by value of the whole graph, during one run.
using Values = std::vector<Tensor>;

// Head or tail.
class Part {
 public:
  Part(Extracted extracted, CompileOptions options, const std::vector<bool>& observed)
      : extracted_(std::move(extracted)) {
    options.keep.clear();
    options.observe.clear();
    for (const auto& [outer, inner] : extracted_.to_part) {
      if (observed[outer.index]) options.observe.push_back(inner);
    }
    std::sort(options.observe.begin(), options.observe.end());
    session_ = std::make_unique<Session>(extracted_.graph, std::move(options));
  }

  void run(Values& values, const ObserveFn& observe, Profile* profile) {
    std::vector<Tensor> inputs;
    for (const ValueId id : extracted_.inputs) inputs.push_back(values[id.index]);
    ObserveFn translated;
    if (observe) {
      translated = [&](ValueId inner, const TensorView& view) { observe(extracted_.from_part.at(inner), view); };
    }
    std::vector<Tensor> outputs = session_->run(inputs, translated, profile);
    for (size_t i = 0; i < outputs.size(); ++i) values[extracted_.outputs[i].index] = std::move(outputs[i]);
  }

 private:
  Extracted extracted_;
  std::unique_ptr<Session> session_;
};

}  // namespace

struct Segments::Impl {
  std::shared_ptr<const Graph> graph;
  CompileOptions options;
  std::vector<ValueId> wanted;  // outputs and kept values
  std::vector<bool> observed;   // by value
  std::vector<NodeId> head, cut, tail;
  std::unordered_map<NodeId, std::shared_ptr<GraphRunner>> graphs;  // of nodes of the cut that have subgraphs
  std::vector<bool> read_later;   // by value: wanted, or read by a node of the cut or the tail
  std::optional<Part> head_part;  // absent if empty
  std::optional<Part> tail_part;  // made in the first run, when the types of what it reads are known

  void divide(const Program& stopped);
  std::vector<ValueId> results_of(const std::vector<NodeId>& nodes) const;
  GraphRunner* graphs_of(NodeId node) const;
};

// Sorts the nodes that the wanted and observed values need. A node whose inputs are there and whose results the program
// reaches belongs to the head; one whose inputs are there and whose results it does not reach, to the cut.
void Segments::Impl::divide(const Program& stopped) {
  enum class Where { kHead, kCut, kTail };
  std::vector<Where> where(graph->node_slots(), Where::kTail);
  std::vector<bool> before_cut(graph->value_slots(), true);  // constants and graph inputs are
  const std::vector<NodeId> order = graph->topological_order();
  for (const NodeId id : order) {
    const Node& node = graph->node(id);
    const bool is_ready = std::all_of(node.inputs.begin(), node.inputs.end(),
                                      [&](ValueId input) { return !input.valid() || before_cut[input.index]; });
    const bool is_reached = std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId output) {
      return !output.valid() || stopped.reach(output) == Reach::kComputed;
    });
    where[id.index] = !is_ready ? Where::kTail : is_reached ? Where::kHead : Where::kCut;
    for (const ValueId output : node.outputs) {
      if (output.valid()) before_cut[output.index] = where[id.index] == Where::kHead;
    }
  }

  std::vector<bool> needed(graph->value_slots(), false);
  read_later.assign(graph->value_slots(), false);
  for (const ValueId id : wanted) needed[id.index] = read_later[id.index] = true;
  for (const ValueId id : options.observe) needed[id.index] = true;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const Node& node = graph->node(*at);
    const bool is_needed = std::any_of(node.outputs.begin(), node.outputs.end(),
                                       [&](ValueId output) { return output.valid() && needed[output.index]; });
    if (!is_needed) continue;
    const Where place = where[at->index];
    (place == Where::kHead ? head : place == Where::kCut ? cut : tail).push_back(*at);
    for (const ValueId input : node.inputs) {
      if (!input.valid()) continue;
      needed[input.index] = true;
      if (place != Where::kHead) read_later[input.index] = true;
    }
  }
  for (std::vector<NodeId>* nodes : {&head, &cut, &tail}) std::reverse(nodes->begin(), nodes->end());
}

std::vector<ValueId> Segments::Impl::results_of(const std::vector<NodeId>& nodes) const {
  std::vector<ValueId> results;
  for (const NodeId id : nodes) {
    for (const ValueId output : graph->node(id).outputs) {
      if (output.valid() && read_later[output.index]) results.push_back(output);
    }
  }
  return results;
}

Segments::Segments(std::shared_ptr<const Graph> graph, const Program& stopped, const CompileOptions& options)
    : impl_(std::make_unique<Impl>()) {
  Impl& p = *impl_;
  p.graph = std::move(graph);
  p.options = options;
  p.wanted = p.graph->outputs();
  p.wanted.insert(p.wanted.end(), options.keep.begin(), options.keep.end());
  p.observed.assign(p.graph->value_slots(), false);
  for (const ValueId id : options.observe) p.observed[id.index] = true;
  p.divide(stopped);
  for (const NodeId id : p.cut) {
    const Node& node = p.graph->node(id);
    if (node.is_opaque() || !has_subgraphs(node)) continue;
    const auto constants = tensors_of_inputs(node, [&](ValueId input) {
      const Tensor* constant = p.graph->constant(input);
      return constant != nullptr ? *constant : Tensor();
    });
    p.graphs[id] = make_graph_runner(make_subgraph_programs(node, constants, options));
  }
  if (!p.head.empty()) {
    const auto dtype_of = [&](ValueId id) { return p.graph->value(id).type.dtype; };
    p.head_part.emplace(extract(*p.graph, p.head, p.results_of(p.head), dtype_of), options, p.observed);
  }
}

Segments::~Segments() = default;

GraphRunner* Segments::Impl::graphs_of(NodeId node) const {
  const auto at = graphs.find(node);
  return at != graphs.end() ? at->second.get() : nullptr;
}

std::vector<Tensor> Segments::run(const std::vector<Tensor>& inputs, const ObserveFn& observe, Profile* profile) {
  Impl& p = *impl_;
  const Graph& graph = *p.graph;
  Values values = initial_values(graph, inputs);
  for (size_t i = 0; observe && i < inputs.size(); ++i) {
    const ValueId id = graph.inputs()[i];
    if (p.observed[id.index]) observe(id, inputs[i].view());
  }
  if (p.head_part) p.head_part->run(values, observe, profile);
  const auto graphs_of = [&p](NodeId id) { return p.graphs_of(id); };
  run_nodes(graph, p.cut, values, executor_hooks(graph, p.observed, observe, profile, graphs_of));
  if (!p.tail.empty() && !p.tail_part) {
    const auto dtype_of = [&](ValueId id) { return values[id.index].dtype(); };
    p.tail_part.emplace(extract(graph, p.tail, p.results_of(p.tail), dtype_of), p.options, p.observed);
  }
  if (p.tail_part) p.tail_part->run(values, observe, profile);
  std::vector<Tensor> results;
  for (const ValueId id : p.wanted) results.push_back(values[id.index]);
  return results;
}

}  // namespace amct
