#include "workflow/products.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/files.h"
#include "export/onnx/write_onnx.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/pack_int4.h"
#include "recipe/plan_json.h"
#include "recipe/quant_json.h"
#include "recipe/record_file.h"

namespace amct {
namespace {

bool has_4_bit_weight(const LayerPlan& layer) { return layer.quantize && layer.weight && layer.weight->bits == 4; }

}  // namespace

Products make_products(const Graph& graph, const Plan& plan, const std::set<Emit>& emit, const QdqTarget& target) {
  Products products{.emit = emit,
                    .target = target,
                    .deploy = {},
                    .fake = {},
                    .qdq = {},
                    .packed = {},
                    .notes = {},
                    .plan_file = true};
  Graph corrected = with_corrected_biases(graph, plan);
  if (emit.contains(Emit::kQdq)) {
    check_qdq_target(graph, plan, target);
    products.qdq = std::make_shared<const Graph>(apply_qdq(corrected, plan, target));
  }
  if (plan.weight_only) {
    products.fake = std::make_shared<const Graph>(fake_quantized_weights(corrected, plan));
    if (products.emit.erase(Emit::kDeploy) != 0) {
      products.notes.push_back(
          "no deploy model, record and quantization file: Ascend's operators of a deploy model compute with quantized "
          "activations");
    }
    return products;
  }
  Graph deploy = apply_ascend(std::move(corrected), plan, &products.rewritten);
  products.fake = std::make_shared<const Graph>(ascend_to_fake_quant(deploy));
  if (plan.has_weight_groups() && products.emit.erase(Emit::kDeploy) != 0) {
    products.notes.push_back(
        "no deploy model, record and quantization file: weights have a scale for each group of inputs, Ascend's "
        "operators one for each output channel");
  }
  products.deploy = std::make_shared<const Graph>(std::move(deploy));
  if (products.emit.contains(Emit::kDeploy)) {
    products.packed = products.deploy;
    if (std::any_of(plan.layers.begin(), plan.layers.end(), has_4_bit_weight)) {
      Graph packed = *products.deploy;
      products.notes = pack_int4_weights(packed, plan);
      cast_int4_biases(packed, plan);
      products.packed = std::make_shared<const Graph>(std::move(packed));
    }
  }
  return products;
}

std::vector<OutputFile> write_products(const Products& products, const Plan& plan,
                                       const std::map<std::string, std::vector<std::string>>& folded,
                                       const std::filesystem::path& prefix) {
  // Before any file is begun: a JSON document that runs out of memory may end the process.
  std::string record;
  for (const std::string& line : plan.origin) record += "# " + line + "\n";
  record += format_records(records_of(plan));
  const bool deployable = !plan.has_weight_groups() && !plan.weight_only;
  const std::string quant_json = deployable ? print_quant_json(*products.deploy, plan, folded) : std::string();
  const std::string plan_json = format_plan(plan);
  std::vector<OutputFile> written;
  OutputFiles files;
  const auto add_file = [&](std::filesystem::path path, std::string purpose) {
    written.push_back({std::move(path), 0, std::move(purpose)});
    std::error_code error;
    written.back().replaced = std::filesystem::exists(written.back().path, error);
    return written.back().path;
  };
  const auto named = [&](std::string_view suffix, std::string purpose) {
    return add_file(prefix.string() + std::string(suffix), std::move(purpose));
  };
  const auto add_model = [&](const Graph& graph, std::string_view suffix, std::string purpose,
                             std::string external_suffix = {}) {
    const std::filesystem::path model = named(suffix, std::move(purpose));
    const size_t first = files.targets().size();
    write_onnx(graph, files, model, {.overridable_constants = false, .external_suffix = std::move(external_suffix)});
    const std::vector<std::filesystem::path> targets = files.targets();
    for (size_t i = first; i < targets.size(); ++i) {
      if (targets[i] != model) add_file(targets[i], fmt::format("weights of {}", model.filename().string()));
    }
  };
  if (products.emit.contains(Emit::kQdq)) add_model(*products.qdq, "_qdq.onnx", products.target.runtime);
  if (products.emit.contains(Emit::kFake)) {
    add_model(*products.fake, "_fake_quant_model.onnx", "simulation, any ONNX runtime", "_fakequant.external");
  }
  if (products.packed != nullptr) {
    add_model(*products.packed, "_deploy_model.onnx", "Ascend (ATC)", "_deploy.external");
  }
  if (deployable) {
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
