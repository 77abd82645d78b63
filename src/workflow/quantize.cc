#include "workflow/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/clock.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/nuq.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/calibrate.h"
#include "workflow/choose.h"
#include "workflow/compare.h"
#include "workflow/memory_need.h"
#include "workflow/model.h"
#include "workflow/products.h"
#include "workflow/quantize_job.h"
#include "workflow/search_shifts.h"

namespace amct {
namespace {

constexpr int64_t kComparedSamples = 32;  // enough for a stable SQNR; more would cost more than calibrating
constexpr int64_t kLayerSamples = 8;      // to rank layers
constexpr size_t kWeakestLayers = 3;

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
  if (plan.weight_only) {
    return fmt::format("INT{} weights{}{}, float activations", fmt::join(weights, " and INT"),
                       groups.empty() ? "" : " in groups of ", fmt::join(groups, " and "));
  }
  if (activations == eight && (weights.empty() || weights == eight) && groups.empty()) return "INT8";
  return fmt::format("INT{} weights{}{}, INT{} activations", fmt::join(weights, " and INT"),
                     groups.empty() ? "" : " in groups of ", fmt::join(groups, " and "),
                     fmt::join(activations, " and INT"));
}

void describe_plan(const Plan& plan, QuantizeReport& report) {
  for (const LayerPlan& layer : plan.layers) {
    ++report.layers;
    if (!layer.shifts.empty()) {
      const auto [least, most] = std::ranges::minmax(layer.shifts);
      report.least_shift = report.shifted == 0 ? least : std::min(report.least_shift, least);
      report.largest_shift = std::max(report.largest_shift, most);
      ++report.shifted;
    }
    if (layer.quantize && !layer.balance_factors.empty()) ++report.balanced;
    if (layer.quantize) {
      ++report.quantized;
    } else {
      report.kept_float.emplace_back(layer.name, layer.reason);
    }
  }
  report.format = format_of(plan);
  report.weight_only = plan.weight_only;
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

void describe_choice(const CalibrationPart& part, const Plan& plan, QuantizeReport& report) {
  if (!part.choice) return;
  report.nuq = part.choice->nuq;
  if (part.choice->strengths.empty()) return;
  for (const LayerPlan& layer : plan.layers) {
    if (layer.quantize && layer.weight && !layer.hidden) report.balance_strengths[layer.name] = layer.balance_strength;
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

void describe_job(const QuantizeJob& job, QuantizeReport& report) {
  report.model = job.facts.path;
  report.opset = job.facts.opset;
  report.bytes = job.facts.file_bytes;
  report.parameters = job.facts.parameters;
  report.macs = job.facts.macs;
  describe_passes(job.passes, report);
  report.warnings = job.warnings;
  report.read_seconds = job.read_seconds;
  report.prepare_seconds = job.prepare_seconds;
}

void measure(const std::shared_ptr<const Graph>& graph, const Products& products, const QuantizeJob& job,
             const QuantizeRequest& request, QuantizeReport& report) {
  const DataSource& source = *job.source;
  const Comparison comparison = compare(
      graph, products.fake, source,
      {.samples = std::min(job.samples, kComparedSamples), .layer_samples = kLayerSamples, .workers = request.workers});
  report.compared = true;
  report.sqnr_db = comparison.logit_sqnr_db;
  if (comparison.classes) report.same_class_percent = comparison.same_class_percent;
  for (size_t i = 0; i < std::min(kWeakestLayers, comparison.layers.size()); ++i) {
    report.weakest.push_back({comparison.layers[i].name, comparison.layers[i].sqnr_db});
  }
  if (request.labels.empty()) return;
  report.before = evaluate(graph, source, job.labels, 0, request.workers);
  report.after = evaluate(products.fake, source, job.labels, 0, request.workers);
}

void check_samples(const QuantizeRequest& request, const CalibrationPart& part) {
  if (request.parts.empty() || !request.samples || *request.samples == part.identity.asked) return;
  throw Error(ErrorCode::kConfig,
              fmt::format("--samples is {}, and the parts were made with {}", *request.samples, part.identity.asked),
              {.file = request.parts.front().string()}, "leave --samples out, or calibrate again");
}

// Observes the samples, and fills the plan's factors.
void calibrate_job(QuantizeJob& job, CalibrationRun& run, const QuantizeRequest& request, QuantizeReport& report) {
  check_samples(request, run.part());
  CalibrationTimes times;
  report.balance_folded = prepare_to_observe(job, run, request);
  describe_choice(run.part(), job.plan, report);
  run.observe(job.graph, job.plan, times);
  choose_factors(job.graph, job.plan, run.part(), request.workers, times);
  run.forget_tensors();
  if (job.plan.search_shifts) {
    search_shifts(job.graph, job.plan, source_for(job, "--shift"), times.samples, request.workers);
  }
  report.samples = times.samples;
  report.compile_seconds = times.compile_seconds;
  report.calibrate_seconds = times.run_seconds;
  report.search_seconds = times.search_seconds;
}

}  // namespace

QuantizeReport quantize(const QuantizeRequest& request) {
  QuantizeReport report;
  const auto start = Clock::now();
  // The processes beside this one find out what they can by themselves while it reads the model.
  OtherShares* const others = request.others;
  if (others != nullptr && !chooses(request) && !request.resume) others->start({});
  QuantizeJob job = prepare_job(request);
  describe_job(job, report);
  Graph& graph = job.graph;
  Plan& plan = job.plan;
  std::optional<CalibrationRun> run;
  if (plan.weight_only) {
    fill_weight_scales(graph, plan, weight_workers(graph, request.workers));
  } else {
    calibrate_job(job, run.emplace(job.calibration(request, others == nullptr ? Shard{} : Shard{1, others->count()})),
                  request, report);
  }
  describe_plan(plan, report);
  describe_clusters(graph, plan, report);

  const auto write_start = Clock::now();
  Products products = make_products(graph, plan, request.emit, qdq_target(request.qdq_target));
  products.plan_file = request.plan_file;
  report.warnings.insert(report.warnings.end(), products.notes.begin(), products.notes.end());
  for (const PassNote& note : products.rewritten.notes) report.rewritten.push_back(note.node + " " + note.message);
  report.write_seconds = seconds_since(write_start);
  if (job.source) measure(std::make_shared<const Graph>(std::move(graph)), products, job, request, report);
  const auto files_start = Clock::now();
  report.files = write_products(products, plan, folded_nodes(job.passes), request.out_prefix);
  if (run) run->remove_checkpoint();
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
