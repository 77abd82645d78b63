#include "passes/quantize/hidden_states.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "ops/recurrent.h"

namespace amct {
namespace {

using namespace recurrent;

// Adds nodes named <layer>.hidden_states.<what>.
class StateValue {
 public:
  StateValue(Graph& graph, std::string layer) : graph_(graph), name_(hidden_states_name(layer)) {}

  void add(NodeId id) {
    const Node node = graph_.node(id);
    const Shape& x = graph_.value(node.input(kX)).type.shape;
    const ValueId initial = node.input(kInitialH);
    const bool one_step = x.rank() == 3 && x[0].is_fixed() && x[0].extent() == 1;
    if (one_step) {
      const ValueId largest =
          op("largest", "reduce_max", {op("magnitude", "abs", {initial})}, {{"keepdims", int64_t{0}}});
      const ValueId none = op("none", "equal", {largest, constant("zero", Tensor::scalar<float>(0))});
      last("where", {none, node.output(kYh), initial});
      return;
    }
    const ValueId without_last = op("before_last", "slice", {node.output(kY), ints("first", {0}), ints("last", {-1})});
    const ValueId merged = op("merged", "squeeze", {without_last, ints("axes", {1})});
    last("concat", {initial, merged}, {{"axis", int64_t{0}}});
  }

 private:
  ValueId constant(const std::string& what, Tensor value) {
    return graph_.add_constant(name_ + "." + what, std::move(value));
  }
  ValueId ints(const std::string& what, const std::vector<int64_t>& values) {
    return constant(what, Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
  }
  ValueId op(const std::string& what, std::string_view type, std::vector<ValueId> inputs, Attrs attrs = {}) {
    return graph_.node(add_op(graph_, name_ + "." + what, type, std::move(inputs), std::move(attrs))).output();
  }
  void last(std::string_view type, std::vector<ValueId> inputs, Attrs attrs = {}) {
    const NodeId id = add_op(graph_, name_, type, std::move(inputs), std::move(attrs), name_);
    graph_.rename_value(graph_.node(id).output(), name_);
  }

  Graph& graph_;
  std::string name_;
};

}  // namespace

std::string hidden_states_name(const std::string& layer) { return layer + ".hidden_states"; }

bool has_hidden_states(const Plan& plan) {
  return std::ranges::any_of(plan.layers, [](const LayerPlan& layer) { return layer.quantize && layer.hidden; });
}

Graph with_hidden_states(const Graph& graph, const Plan& plan) {
  Graph result = graph;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.hidden) continue;
    const NodeId id = result.find_node(layer.name);
    AMCT_CHECK(id.valid(), fmt::format("the plan names layer '{}', which the graph lacks", layer.name));
    StateValue(result, layer.name).add(id);
  }
  update_types(result);
  return result;
}

}  // namespace amct
