#include "passes/quantize/recurrent_weights.h"

#include <fmt/core.h>

#include "base/error.h"
#include "ops/op_row.h"
#include "ops/recurrent.h"
#include "passes/quantize/arq.h"
#include "passes/quantize/integer_constants.h"

namespace amct {
namespace {

constexpr int kRowAxis = 1;

// ARQ scales of one weight, per row or per gate as the plan says.
std::vector<float> recurrent_scales(const Graph& graph, const Node& node, const Tensor& weight, const WeightPlan& plan,
                                    const std::string& layer) {
  if (plan.per_channel) return arq_scales(weight, kRowAxis, true, plan.bits, layer);
  const int64_t rows = weight.dims()[kRowAxis];
  const int64_t hidden = recurrent_weight(graph, node, recurrent::kR).dims()[2];
  const int64_t gates = rows / hidden;
  return arq_scales(weight.reshaped({1, gates, hidden * weight.dims()[2]}), kRowAxis, true, plan.bits, layer);
}

}  // namespace

bool is_recurrent(const Node& node) {
  return !node.is_opaque() && node.row->quant.kind() == QuantRule::Kind::kCompute &&
         node.row->quant.compute_rule().recurrent_port >= 0;
}

const Tensor& recurrent_weight(const Graph& graph, const Node& node, int port) {
  const Tensor* weight = graph.constant(node.input(static_cast<size_t>(port)));
  AMCT_CHECK(weight != nullptr && weight->rank() == 3, "a recurrent layer that is quantized has constant weights");
  return *weight;
}

WeightPlan by_row(const WeightPlan& plan, const Tensor& weight) {
  const auto rows = static_cast<size_t>(weight.dims()[kRowAxis]);
  const size_t count = plan.scales.size();
  if (count == 0 || rows % count != 0) {
    throw Error(ErrorCode::kConfig, fmt::format("{} weight scales for {} rows of gates", count, rows), {},
                "one per row, or one per gate");
  }
  WeightPlan result = plan;
  result.scales.clear();
  for (const float scale : plan.scales) result.scales.insert(result.scales.end(), rows / count, scale);
  return result;
}

void fill_recurrent_scales(const Graph& graph, const Node& node, LayerPlan& layer) {
  const auto& rule = node.row->quant.compute_rule();
  const std::pair<int, WeightPlan*> weights[] = {{rule.weight_port, &*layer.weight},
                                                 {rule.recurrent_port, &layer.hidden->weight}};
  for (const auto& [port, plan] : weights) {
    if (plan->scales.empty()) {
      plan->scales = recurrent_scales(graph, node, recurrent_weight(graph, node, port), *plan, layer.name);
    }
  }
}

void fake_quantize_recurrent(Graph& graph, NodeId id, const LayerPlan& layer) {
  const Node& node = graph.node(id);
  const auto& rule = node.row->quant.compute_rule();
  const std::pair<int, const WeightPlan*> weights[] = {{rule.weight_port, &*layer.weight},
                                                       {rule.recurrent_port, &layer.hidden->weight}};
  for (const auto& [port, plan] : weights) {
    const Tensor& weight = recurrent_weight(graph, node, port);
    Tensor fake = fake_quantized(weight, by_row(*plan, weight), kRowAxis);
    graph.replace_constant(node.input(static_cast<size_t>(port)), std::move(fake));
  }
}

}  // namespace amct
