#include "workflow/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <unordered_set>

#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/nuq.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/tensor_inputs.h"
#include "workflow/balance.h"
#include "workflow/calibrate.h"
#include "workflow/compare.h"
#include "workflow/config_file.h"
#include "workflow/expand_config.h"
#include "workflow/inspect.h"
#include "workflow/model.h"
#include "workflow/products.h"

namespace amct {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kDefaultSamples = 64;
constexpr int64_t kComparedSamples = 32;  // enough for a stable SQNR; more would cost more than calibrating
constexpr int64_t kLayerSamples = 8;      // to rank layers
constexpr size_t kWeakestLayers = 3;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Widths that the command line asks for, and groups of weights; what a layer cannot have is a downgrade.
void set_widths(const Graph& graph, const QuantizeRequest& request, Plan& plan) {
  bool grouped = false;
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    config::CalibrationSettings wanted;
    wanted.weight.bits = request.weight_bits.value_or(8);
    wanted.activation.bits = request.activation_bits.value_or(8);
    const std::vector<std::string> lines = downgrade(graph, layer, wanted);
    plan.downgrades.insert(plan.downgrades.end(), lines.begin(), lines.end());
    if (request.activation_bits) layer.activation.bits = wanted.activation.bits;
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
  set_widths(graph, request, plan);
  check_groups(request, plan);
  if (request.joint && plan.joint.empty()) plan_joint(graph, plan);
  if (request.balance) {
    for (LayerPlan& layer : plan.layers) {
      if (layer.weight && !layer.balance_strength) layer.balance_strength = request.balance;
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
  if (request.correct_bias) plan.correct_bias = *request.correct_bias;
  plan.model = request.model.filename().string();
  return plan;
}

PipelineOptions fusion_options(const QuantizeRequest& request, const std::optional<ConfigFile>& config) {
  PipelineOptions options{.check = request.check};
  if (config) options.skip_layers = config->skip_fusion();
  return options;
}

// The request's number of samples, else the configuration's batches, else a default.
int64_t samples_to_read(const QuantizeRequest& request, const std::optional<ConfigFile>& config,
                        QuantizeReport& report) {
  const auto batches = config ? config->batch_num() : std::nullopt;
  if (!request.samples) return batches ? *batches * request.batch : kDefaultSamples;
  if (batches && *batches * request.batch != *request.samples) {
    report.warnings.push_back(
        fmt::format("{} samples are read, as the command line says; the configuration's "
                    "batch_num would be {}",
                    *request.samples, *batches * request.batch));
  }
  return *request.samples;
}

// Tensors that the QDQ file quantizes besides the inputs of layers get the settings of the default, and 16 bits where
// all layers with weights have them.
void add_tensors(const Graph& graph, Plan& plan, const QuantizeRequest& request) {
  ActivationPlan settings;
  settings.search.method = request.search.value_or(settings.search.method);
  std::unordered_set<std::string> known;
  for (const TensorPlan& item : plan.tensors) known.insert(item.tensor);
  const bool wide = std::ranges::all_of(plan.layers, [](const LayerPlan& layer) {
    return !layer.quantize || !layer.weight || layer.activation.bits == 16;
  });
  if (wide && std::ranges::any_of(plan.layers, &LayerPlan::quantize)) settings.bits = 16;
  for (const std::string& tensor : tensors_to_calibrate(graph, plan, {qdq_target(request.qdq_target)})) {
    if (known.insert(tensor).second) plan.tensors.push_back({tensor, settings});
  }
}

void describe_model(const ModelFacts& facts, QuantizeReport& report) {
  report.model = facts.path;
  report.opset = facts.opset;
  report.bytes = facts.file_bytes;
  report.parameters = facts.parameters;
  report.macs = facts.macs;
}

// "INT8", or "INT4 and INT8 weights in groups of 32, INT16 activations".
std::string format_of(const Plan& plan) {
  std::set<int> weights, activations, groups;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    activations.insert(layer.activation.bits);
    if (layer.weight) weights.insert(layer.weight->bits);
    if (layer.weight && layer.weight->group > 0) groups.insert(layer.weight->group);
  }
  const std::set<int> eight{8};
  if (activations == eight && (weights.empty() || weights == eight) && groups.empty()) return "INT8";
  return fmt::format("INT{} weights{}{}, INT{} activations", fmt::join(weights, " and INT"),
                     groups.empty() ? "" : " in groups of ", fmt::join(groups, " and "),
                     fmt::join(activations, " and INT"));
}

void describe_plan(const Plan& plan, QuantizeReport& report) {
  for (const LayerPlan& layer : plan.layers) {
    ++report.layers;
    if (layer.quantize && !layer.balance_factors.empty()) ++report.balanced;
    if (layer.quantize) {
      ++report.quantized;
    } else {
      report.kept_float.emplace_back(layer.name, layer.reason);
    }
  }
  report.format = format_of(plan);
  for (const TensorPlan& tensor : plan.tensors) report.inputs += tensor.uses.size();
  report.groups = plan.joint.size();
  report.warnings.insert(report.warnings.end(), plan.warnings.begin(), plan.warnings.end());
  report.downgrades = plan.downgrades;
}

// What non-uniform weights save once they are compressed.
void describe_clusters(const Graph& graph, const Plan& plan, QuantizeReport& report) {
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.weight->clusters.empty()) continue;
    const Node& node = graph.node(graph.find_node(layer.name));
    const auto& rule = node.row->quant.compute_rule();
    const Tensor* weight = graph.constant(node.input(static_cast<size_t>(rule.weight_port)));
    const Tensor integers = integer_weights(*weight, *layer.weight, rule.channel_axis_for(graph, node));
    ++report.clustered;
    report.clustered_bytes += static_cast<double>(integers.size());
    report.coded_bytes += entropy_coded_bytes(integers.values<int8_t>());
  }
}

void describe_passes(const PipelineReport& passes, QuantizeReport& report) {
  report.nodes_before = passes.nodes_before;
  report.nodes_after = passes.nodes_after;
  for (const auto& [name, pass] : passes.passes) {
    const auto at = std::find_if(report.simplifications.begin(), report.simplifications.end(),
                                 [&name = name](const auto& item) { return item.first == name; });
    if (pass.changes == 0) continue;  // it only has notes
    if (at == report.simplifications.end()) {
      report.simplifications.emplace_back(name, pass.changes);
    } else {
      at->second += pass.changes;
    }
  }
}

void measure(const std::shared_ptr<const Graph>& graph, const Products& products, const DataSource& source,
             const QuantizeRequest& request, QuantizeReport& report) {
  const Comparison comparison = compare(graph, products.fake, source,
                                        {.samples = std::min(report.samples, kComparedSamples),
                                         .layer_samples = kLayerSamples,
                                         .workers = request.workers});
  report.sqnr_db = comparison.logit_sqnr_db;
  if (comparison.classes) report.same_class_percent = comparison.same_class_percent;
  for (size_t i = 0; i < std::min(kWeakestLayers, comparison.layers.size()); ++i) {
    report.weakest.push_back({comparison.layers[i].name, comparison.layers[i].sqnr_db});
  }
  if (request.labels.empty()) return;
  const std::vector<int64_t> labels = read_labels(request.labels, source);
  report.before = evaluate(graph, source, labels, 0, request.workers);
  report.after = evaluate(products.fake, source, labels, 0, request.workers);
}

}  // namespace

QuantizeReport quantize(const QuantizeRequest& request) {
  QuantizeReport report;
  const auto start = Clock::now();
  std::optional<ConfigFile> config;
  if (!request.config.empty()) {
    config = ConfigFile::read(request.config);
  } else if (request.amct_defaults) {
    config = ConfigFile::defaults();
  }
  Graph graph = load_model(request.model);
  if (is_quantized(graph)) {
    throw Error(ErrorCode::kInput, "the model is quantized already", {.model = request.model.string()},
                "give the float model");
  }
  describe_model(inspect(graph), report);
  report.read_seconds = seconds_since(start);

  const auto prepare_start = Clock::now();
  const PipelineReport passes = prepare(graph, !config || config->fuses(), fusion_options(request, config));
  describe_passes(passes, report);
  Plan plan = make_plan(graph, request, config);
  const auto source = open_data(request.data, input_specs(graph), request.data_options);
  report.prepare_seconds = seconds_since(prepare_start);

  const int64_t samples = samples_to_read(request, config, report);
  report.balance_folded = balance(graph, plan, *source, samples, request.workers);
  if (request.emit.contains(Emit::kQdq)) {
    check_qdq_target(graph, plan, qdq_target(request.qdq_target));
    add_tensors(graph, plan, request);
  }
  const CalibrationTimes times = calibrate(graph, plan, *source, samples, request.workers);
  report.samples = times.samples;
  report.compile_seconds = times.compile_seconds;
  report.calibrate_seconds = times.run_seconds;
  report.search_seconds = times.search_seconds;
  describe_plan(plan, report);
  describe_clusters(graph, plan, report);

  const auto write_start = Clock::now();
  Products products = make_products(graph, plan, request.emit, qdq_target(request.qdq_target));
  products.plan_file = request.plan_file;
  report.warnings.insert(report.warnings.end(), products.notes.begin(), products.notes.end());
  report.write_seconds = seconds_since(write_start);
  measure(std::make_shared<const Graph>(std::move(graph)), products, *source, request, report);
  const auto files_start = Clock::now();
  report.files = write_products(products, plan, folded_nodes(passes), request.out_prefix);
  report.write_seconds += seconds_since(files_start);
  report.total_seconds = seconds_since(start);
  return report;
}

QuantizeReport quantize(const QuantizeRequest& request, Evaluator& evaluator) {
  const bool fake = request.emit.contains(Emit::kFake);
  if (!fake && !request.emit.contains(Emit::kQdq)) {
    throw Error(ErrorCode::kConfig, "an evaluator needs a quantized model that runs anywhere", {},
                "add fake or qdq to --emit");
  }
  const double original = evaluator.evaluate(request.model);
  QuantizeReport report = quantize(request);
  const auto quantized = std::ranges::find_if(report.files, [&](const OutputFile& file) {
    return file.path.string().ends_with(fake ? "_fake_quant_model.onnx" : "_qdq.onnx");
  });
  AMCT_CHECK(quantized != report.files.end(), "the model that was asked for is among the files");
  report.verdict = evaluator.judge(original, evaluator.evaluate(quantized->path));
  return report;
}

}  // namespace amct
