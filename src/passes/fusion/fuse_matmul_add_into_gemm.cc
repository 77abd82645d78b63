#include "passes/fusion/fuse_matmul_add_into_gemm.h"

#include <fmt/core.h>

#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

bool of_rank(const Graph& graph, ValueId id, size_t rank) {
  const Shape& shape = graph.value(id).type.shape;
  return shape.ranked() && shape.rank() == rank;
}

// The bias as one number per column; no tensor if it is anything else.
Tensor column_bias(const Tensor& bias, int64_t columns, DType dtype) {
  const bool row = bias.rank() <= 2 && (bias.rank() == 0 || bias.dims().back() == bias.size());
  if (!row || bias.dtype() != dtype || (bias.size() != 1 && bias.size() != columns)) return {};
  if (bias.size() == columns) return bias.reshaped({columns});
  return Tensor::of<double>({columns}, std::vector<double>(static_cast<size_t>(columns), bias.to_doubles()[0]))
      .cast(dtype);
}

// Why matmul `id` and the add that reads it do not become a gemm; empty when they did.
std::string fuse(Graph& graph, NodeId id, NodeId add, const OpRow& gemm) {
  const Node& product = graph.node(id);
  const Tensor& weight = *graph.constant(product.input(1));
  const Node& sum = graph.node(add);
  const size_t bias_port = sum.input(0) == product.output() ? 1 : 0;
  const ValueId bias_id = sum.input(bias_port);
  const Tensor* bias = graph.constant(bias_id);
  if (bias == nullptr) return "the summand is computed, not constant";
  if (!is_floating(weight.dtype())) return "it multiplies integers";
  if (!of_rank(graph, product.input(0), 2) || weight.rank() != 2) return "it is not of rank 2";
  const Tensor columns = column_bias(*bias, weight.dims()[1], weight.dtype());
  if (!columns) return "the summand is not one number per column";
  const bool as_it_is = columns.same_bytes(*bias);
  const ValueId bias_input = as_it_is ? bias_id : graph.add_constant(product.name + ".bias", columns);
  graph.set_op(id, "gemm", &gemm, {});
  graph.set_input(id, 2, bias_input);
  graph.replace_uses(sum.output(), graph.node(id).output());
  graph.erase_node(add);
  return {};
}

}  // namespace

PassReport fuse_matmul_add_into_gemm(Graph& graph, const PassContext& context) {
  PassReport report;
  const OpRow* gemm = op_table().find("gemm");
  if (gemm == nullptr) return report;
  for (const NodeId id : graph.topological_order()) {
    if (!graph.alive(id) || !is_op(graph.node(id), "matmul")) continue;
    const Node& product = graph.node(id);
    const Use* use = graph.sole_use(product.output());
    if (use == nullptr || !is_op(graph.node(use->node), "add") || graph.constant(product.input(1)) == nullptr) continue;
    const std::string name = product.name;
    const std::string add = graph.node(use->node).name;
    if (context.skip_layers.contains(name)) {
      report.left_alone(name, fmt::format("add '{}' is not folded into it: the layer is to be left alone", add));
      continue;
    }
    const std::string reason = fuse(graph, id, use->node, *gemm);
    if (reason.empty()) {
      report.applied(name, fmt::format("became a gemm with add '{}' as its bias", add), add);
    } else {
      report.left_alone(name, fmt::format("add '{}' is not folded into it: {}", add, reason));
    }
  }
  return report;
}

}  // namespace amct
