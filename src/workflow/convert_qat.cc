#include "workflow/convert_qat.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "passes/quantize/dmq.h"
#include "passes/quantize/qdq_to_plan.h"
#include "workflow/model.h"
#include "workflow/products.h"

namespace amct {
namespace {

bool has_pairs(const Graph& graph) {
  const std::vector<NodeId> nodes = graph.nodes();
  return std::ranges::any_of(nodes, [&](NodeId id) {
    const std::string& op = graph.node(id).op;
    return op == "quantize_linear" || op == "dequantize_linear";
  });
}

}  // namespace

ConvertReport convert_qat(const ConvertQatRequest& request) {
  if (request.emit.contains(Emit::kQdq)) {
    throw Error(ErrorCode::kConfig, "a QDQ file is not written from a model with QuantizeLinear",
                {.model = request.model.string()}, "the model is one: leave qdq out of --emit");
  }
  Graph graph = load_model(request.model);
  if (!has_pairs(graph)) {
    throw Error(ErrorCode::kInput, "the model has no QuantizeLinear and DequantizeLinear",
                {.model = request.model.string()}, "a float model needs its factors: --record");
  }
  const PipelineReport passes = prepare(graph, false);
  QdqConversion conversion = qdq_to_plan(graph);
  Plan& plan = conversion.plan;
  plan.model = request.model.filename().string();
  plan.correct_bias = false;
  apply_balance(graph, plan);
  Products products = make_products(graph, plan, request.emit, qdq_target(kDefaultQdqTarget));
  products.plan_file = request.plan_file;
  ConvertReport report =
      report_of(plan, products, write_products(products, plan, folded_nodes(passes), request.out_prefix));
  report.anti_quantized = conversion.anti_quantized;
  return report;
}

}  // namespace amct
