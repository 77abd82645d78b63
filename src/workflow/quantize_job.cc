#include "workflow/quantize_job.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "base/clock.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/tensor_inputs.h"
#include "workflow/calibration_identity.h"
#include "workflow/config_file.h"
#include "workflow/expand_config.h"
#include "workflow/model.h"
#include "workflow/sample_count.h"
#include "workflow/weight_only.h"

namespace amct {
namespace {

// Widths that the command line asks for, and groups of weights; what a layer cannot have is a downgrade.
void set_widths(const Graph& graph, const QuantizeRequest& request, Plan& plan) {
  bool grouped = false, narrow = false;
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    config::CalibrationSettings wanted;
    wanted.weight.bits = request.weight_bits.value_or(layer.weight ? layer.weight->bits : 8);
    wanted.activation.bits = request.activation_bits.value_or(8);
    const std::vector<std::string> lines = downgrade(graph, layer, wanted);
    plan.downgrades.insert(plan.downgrades.end(), lines.begin(), lines.end());
    if (request.activation_bits) layer.activation.bits = wanted.activation.bits;
    narrow = narrow || layer.activation.bits == 4;
    if (layer.hidden) layer.hidden->activation.bits = layer.activation.bits;
    if (!layer.weight) continue;
    if (request.weight_bits) layer.weight->bits = wanted.weight.bits;
    if (request.weight_group > 0 && (layer.op == "gemm" || layer.op == "matmul")) {
      layer.weight->group = request.weight_group;
      grouped = true;
    }
  }
  if (request.weight_group > 0 && !grouped) {
    throw Error(ErrorCode::kConfig, "--weight-group: the model has no Gemm or MatMul layer that is quantized",
                {.model = request.model.string()}, "groups of weights are for those");
  }
  if (request.activation_bits == 4 && !narrow) {
    throw Error(ErrorCode::kConfig, "--activation-bits 4: no layer that is quantized has 4-bit weights",
                {.model = request.model.string()}, "4-bit activations are for those: add --weight-bits 4");
  }
}

// Throws ErrorList of Error(kConfig), naming the layers.
void check_groups(const QuantizeRequest& request, const Plan& plan) {
  Faults faults;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.weight->group == 0) continue;
    const Where where{.model = request.model.string(), .node = layer.name, .op = layer.op};
    if (layer.op != "gemm" && layer.op != "matmul") {
      faults.add(Error(ErrorCode::kConfig, "it takes no groups of weights", where, "Gemm and MatMul do"));
    } else if (layer.weight->steps > 0) {
      faults.add(Error(ErrorCode::kConfig, "its weights cannot both be non-uniform and have groups", where));
    }
  }
  if (plan.has_weight_groups() && request.emit == std::set<Emit>{Emit::kDeploy}) {
    faults.add(Error(ErrorCode::kUnsupported,
                     "no deploy model can have groups of weights: Ascend's operators take one scale for each output "
                     "channel",
                     {.model = request.model.string()}, "--emit fake,qdq"));
  }
  faults.throw_if_any();
}

// Layers that have non-uniform weights already keep theirs.
void set_steps(const Graph& graph, Plan& plan, int steps) {
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.weight->steps > 0) continue;
    if (const std::string reason = reason_against_steps(graph, layer); !reason.empty()) {
      plan.downgrades.push_back(fmt::format("{} has uniform weights: {}", layer.name, reason));
    } else {
      layer.weight->steps = steps;
    }
  }
}

Plan make_plan(const Graph& graph, const QuantizeRequest& request, const std::optional<ConfigFile>& config) {
  QuantizeOptions options;
  options.skip = request.skip;
  options.skip_types = request.skip_types;
  if (request.search && config) {
    throw Error(ErrorCode::kConfig, "--search and --config exclude each other", {.file = request.config.string()},
                "the configuration says how ranges are searched");
  }
  options.search.method = request.search.value_or(options.search.method);
  Plan plan = plan_layers(graph, options);
  if (config) config->apply(graph, plan);
  if (request.weight_only || plan.weight_only) check_weight_only(request);
  set_widths(graph, request, plan);
  if (request.nuq_steps > 0) set_steps(graph, plan, request.nuq_steps);
  check_groups(request, plan);
  if (request.joint && plan.joint.empty()) plan_joint(graph, plan);
  if (request.balance || request.search_balance) {
    for (LayerPlan& layer : plan.layers) {
      if (layer.weight && !layer.hidden && !layer.balance_strength)
        layer.balance_strength = request.balance.value_or(0.5);
    }
  }
  if (request.strict && !plan.downgrades.empty()) {
    Faults faults;
    for (const std::string& line : plan.downgrades) {
      faults.add(Error(ErrorCode::kConfig, line, {.file = request.config.string()}, "--strict allows no downgrade"));
    }
    faults.throw_if_any();
  }
  if (request.calibrate_with_quantized_weights) {
    plan.calibrate_with_quantized_weights = *request.calibrate_with_quantized_weights;
  }
  if (request.shift) plan.search_shifts = true;
  if (request.correct_bias) plan.correct_bias = *request.correct_bias;
  if (request.weight_only || plan.weight_only) plan_weights_only(graph, plan);
  plan.model = request.model.filename().string();
  return plan;
}

PipelineOptions fusion_options(const QuantizeRequest& request, const std::optional<ConfigFile>& config) {
  PipelineOptions options{.check = request.check};
  if (config) options.skip_layers = config->skip_fusion();
  return options;
}

// Settings that calibration depends on and that are not in the plan.
std::vector<std::string> settings_besides(const Plan& plan, const QuantizeRequest& request, bool fuses,
                                          const PipelineOptions& fusion) {
  std::vector<std::string> lines{fmt::format("fuse: {}", fuses)};
  for (const std::string& layer : fusion.skip_layers) lines.push_back("not fused: " + layer);
  if (request.search_balance) lines.push_back("balance: search");
  if (request.nuq_weighted) lines.push_back("nuq: weighted");
  if (request.nuq_loss) lines.push_back(fmt::format("nuq loss: {}", *request.nuq_loss));
  const auto is_hfmg = [](const auto& item) { return item.activation.search.method == ClipSearch::Method::kHfmg; };
  if (std::ranges::any_of(plan.layers, is_hfmg) || std::ranges::any_of(plan.tensors, is_hfmg)) {
    lines.push_back(fmt::format("batch: {}", request.batch));
  }
  return lines;
}

}  // namespace

CalibrationRun QuantizeJob::calibration(const QuantizeRequest& request, const Shard& shard) const {
  std::filesystem::path checkpoint = request.out_prefix;
  checkpoint += ".checkpoint";
  return {{.model = request.model,
           .source = source.get(),
           .inputs = &inputs,
           .data_options = &request.data_options,
           .asked = samples,
           .rows = static_cast<int64_t>(batching_of(graph).rows),
           .settings = settings},
          {.workers = request.workers,
           .batch = request.batch,
           .shard = shard,
           .parts = request.parts,
           .checkpoint = checkpoint,
           .resume = request.resume,
           .checkpoint_seconds = request.checkpoint_seconds,
           .others = request.others}};
}

// Tensors that the QDQ file quantizes besides the inputs of layers get the settings of the default, and 16 bits
// where all layers with weights have them.
void add_qdq_tensors(const Graph& graph, Plan& plan, const QuantizeRequest& request) {
  if (!request.emit.contains(Emit::kQdq)) return;
  const QdqTarget target = qdq_target(request.qdq_target);
  check_qdq_target(graph, plan, target);
  ActivationPlan settings;
  settings.search.method = request.search.value_or(settings.search.method);
  std::unordered_set<std::string> known;
  for (const TensorPlan& item : plan.tensors) known.insert(item.tensor);
  const bool wide = std::ranges::all_of(plan.layers, [](const LayerPlan& layer) {
    return !layer.quantize || !layer.weight || layer.activation.bits == 16;
  });
  if (wide && std::ranges::any_of(plan.layers, &LayerPlan::quantize)) settings.bits = 16;
  for (const std::string& tensor : tensors_to_calibrate(graph, plan, {target})) {
    if (known.insert(tensor).second) plan.tensors.push_back({tensor, settings});
  }
}

QuantizeJob prepare_job(const QuantizeRequest& request) {
  const auto start = Clock::now();
  std::optional<ConfigFile> config;
  if (!request.config.empty()) {
    config = ConfigFile::read(request.config);
  } else if (request.amct_defaults) {
    config = ConfigFile::defaults();
  }
  if (request.samples && *request.samples < 1) {
    throw Error(ErrorCode::kConfig, fmt::format("{} samples are too few to calibrate with", *request.samples));
  }
  QuantizeJob job;
  job.graph = load_float_model(request.model);
  job.facts = inspect(job.graph);
  job.read_seconds = seconds_since(start);

  const auto prepare_start = Clock::now();
  const PipelineOptions fusion = fusion_options(request, config);
  const bool fuses = !config || config->fuses();
  job.passes = prepare(job.graph, fuses, fusion);
  job.plan = make_plan(job.graph, request, config);
  job.settings = settings_text(job.plan, settings_besides(job.plan, request, fuses, fusion));
  job.inputs = input_specs(job.graph);
  const bool reads_nothing = job.plan.weight_only || !request.parts.empty();
  if (!request.data.empty() || !request.data_options.bin_folders.empty() || !reads_nothing) {
    job.source = open_data(request.data, job.inputs, request.data_options);
  }
  job.samples =
      samples_to_read(request.samples, config ? config->batch_num() : std::nullopt, request.batch, job.warnings);
  if (job.source && !request.labels.empty()) job.labels = read_labels(request.labels, *job.source);
  job.prepare_seconds = seconds_since(prepare_start);
  return job;
}

}  // namespace amct
