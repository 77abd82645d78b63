#include "workflow/products.h"

#include <utility>

#include "base/files.h"
#include "export/onnx/write_onnx.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/pack_int4.h"
#include "recipe/plan_json.h"
#include "recipe/quant_json.h"
#include "recipe/record_file.h"

namespace amct {

Products make_products(const Graph& graph, const Plan& plan, const std::set<Emit>& emit, const QdqTarget& target) {
  Products products{.emit = emit,
                    .target = target,
                    .deploy = {},
                    .fake = {},
                    .qdq = {},
                    .packed = {},
                    .notes = {},
                    .plan_file = true};
  const Graph corrected = with_corrected_biases(graph, plan);
  Graph deploy = apply_ascend(corrected, plan);
  products.fake = std::make_shared<const Graph>(ascend_to_fake_quant(deploy));
  if (plan.has_weight_groups() && products.emit.erase(Emit::kDeploy) != 0) {
    products.notes.push_back(
        "no deploy model, record and quantization file: weights have a scale for each group of inputs, Ascend's "
        "operators one for each output channel");
  }
  if (products.emit.contains(Emit::kDeploy)) {
    products.packed = std::make_shared<Graph>(deploy);
    products.notes = pack_int4_weights(*products.packed, plan);
  }
  products.deploy = std::make_shared<const Graph>(std::move(deploy));
  if (emit.contains(Emit::kQdq)) {
    check_qdq_target(plan, target);
    products.qdq = std::make_shared<const Graph>(apply_qdq(corrected, plan, target));
  }
  return products;
}

std::vector<OutputFile> write_products(const Products& products, const Plan& plan,
                                       const std::map<std::string, std::vector<std::string>>& folded,
                                       const std::filesystem::path& prefix) {
  // Before any file is begun: a JSON document that runs out of memory may end the process.
  const std::string record = format_records(records_of(plan));
  const std::string quant_json = print_quant_json(*products.deploy, plan, folded);
  const std::string plan_json = format_plan(plan);
  std::vector<OutputFile> written;
  OutputFiles files;
  const auto named = [&](std::string_view suffix, std::string purpose) {
    written.push_back({prefix.string() + std::string(suffix), 0, std::move(purpose)});
    std::error_code error;
    written.back().replaced = std::filesystem::exists(written.back().path, error);
    return written.back().path;
  };
  const auto add_model = [&](const Graph& graph, std::string_view suffix, std::string purpose) {
    write_onnx(graph, files, named(suffix, std::move(purpose)), {.overridable_constants = false});
  };
  if (products.emit.contains(Emit::kQdq)) add_model(*products.qdq, "_qdq.onnx", products.target.runtime);
  if (products.emit.contains(Emit::kFake)) {
    add_model(*products.fake, "_fake_quant_model.onnx", "simulation, any ONNX runtime");
  }
  if (products.packed != nullptr) add_model(*products.packed, "_deploy_model.onnx", "Ascend (ATC)");
  if (!plan.has_weight_groups()) {
    files.add(named("_record.txt", "factors, as AMCT writes them")).write(record);
    files.add(named("_quant.json", "inserted operators, original to quantized layers")).write(quant_json);
  }
  if (products.plan_file) {
    files.add(named("_plan.json", "what was done to each layer; edit and pass with --config")).write(plan_json);
  }
  files.commit();
  for (OutputFile& file : written) file.bytes = std::filesystem::file_size(file.path);
  return written;
}

}  // namespace amct
