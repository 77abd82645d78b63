#include "workflow/calibrate.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "kernels/dnnl/isa.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/hidden_states.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/memory_need.h"
#include "workflow/part_run.h"
#include "workflow/search_shifts.h"

namespace amct {
namespace {

constexpr uint64_t kStatisticsBytes = 48 << 10;  // of one tensor, about
constexpr uint64_t kGraphsBesides = 4;           // with weights of their own: quantized ones for each output, corrected

// What one worker has learned, by tensor; null = nothing.
using Statistics = std::vector<std::unique_ptr<TensorStatistics>>;

// Part of a calibration and the workers that add to it.
class PartObserver {
 public:
  PartObserver(const std::vector<ObservedTensor>& tensors, const Program& program, const ObserveOptions& options,
               CalibrationPart& part)
      : tensors_(tensors),
        part_(part),
        views_(observed_views(tensors, program, part.identity.samples)),
        by_worker_(static_cast<size_t>(options.workers)) {
    std::vector<TensorBins> bins;
    std::unordered_set<std::string_view> wanted;
    for (const ObservedTensor& tensor : tensors) wanted.insert(tensor.name);
    std::erase_if(part.tensors, [&](const auto& known) { return !wanted.contains(known.first); });
    for (const ObservedTensor& tensor : tensors) {
      const size_t i = bins.size();
      index_[tensor.value] = i;
      bins.push_back(start(tensor, views_[i]));
    }
    rows_ = static_cast<size_t>(program.batch());
    const bool in_order = std::any_of(bins.begin(), bins.end(), [](const TensorBins& b) { return !b.empty(); });
    if (in_order) ordered_ = std::make_unique<OrderedBins>(std::move(bins), options.batch, static_cast<int64_t>(rows_));
  }

  void add(const SampleRun& run, ValueId id, const TensorView& view) {
    Statistics& statistics = by_worker_[run.worker];
    statistics.resize(tensors_.size());
    const size_t i = index_.at(id);
    if (statistics[i] == nullptr) statistics[i] = std::make_unique<TensorStatistics>(views_[i]);
    const TensorView valid = valid_rows(view, run);
    statistics[i]->add(valid);
    if (ordered_ && ordered_->wants(i)) ordered_->add(i, run.first_sample / rows_, valid);
  }

  void collect() {
    const std::vector<TensorBins>* ordered = ordered_ ? &ordered_->finish() : nullptr;
    parallel_for(tensors_.size(), static_cast<int>(by_worker_.size()), [&](int, size_t i) {
      TensorPart& into = part_.tensors.at(tensors_[i].name);
      for (Statistics& statistics : by_worker_) {
        if (i >= statistics.size() || statistics[i] == nullptr) continue;
        into.statistics.merge(std::move(*statistics[i]));
        statistics[i].reset();
      }
      if (ordered != nullptr) into.ordered = (*ordered)[i];
    });
  }

  size_t granularity() const { return ordered_ ? ordered_->runs_of_a_batch() : 1; }
  OrderedBins* ordered() { return ordered_.get(); }
  // What batches that are not complete keep.
  uint64_t pending_bytes(const Program& program) const {
    uint64_t bytes = 0;
    for (size_t i = 0; i < tensors_.size() && granularity() > 1; ++i) {
      if (!ordered_->wants(i)) continue;
      const auto elements = program.type(tensors_[i].value).shape.element_count();
      bytes += static_cast<uint64_t>(elements.value_or(0)) * sizeof(float) * granularity();
    }
    return bytes;
  }

 private:
  // The part's entry of a tensor, in a form that takes views; returns the histograms of HFMG that it goes on with.
  TensorBins start(const ObservedTensor& tensor, const ObservedView& view) {
    TensorPart fresh{TensorStatistics(view), {}};
    if (part_.shard.count == 1) fresh.ordered.bins = hfmg_bins(tensor);
    const auto before = part_.tensors.find(tensor.name);
    if (before == part_.tensors.end() && part_.taken.size() > 0) {
      throw Error(ErrorCode::kInput, fmt::format("the checkpoint knows nothing of tensor '{}'", tensor.name), {},
                  "repeat the command that was interrupted, or delete its checkpoint");
    }
    if (before != part_.tensors.end()) {
      if (!fresh.statistics.merges_with(before->second.statistics) ||
          before->second.ordered.bins != fresh.ordered.bins) {
        throw Error(ErrorCode::kInput, fmt::format("tensor '{}' was observed in another way before", tensor.name), {},
                    "calibrate from the start");
      }
      fresh.statistics.merge(before->second.statistics);
      fresh.ordered = before->second.ordered;
    }
    TensorBins ordered = fresh.ordered;
    part_.tensors.insert_or_assign(tensor.name, std::move(fresh));
    return ordered;
  }

  const std::vector<ObservedTensor>& tensors_;
  CalibrationPart& part_;
  const std::vector<ObservedView> views_;
  std::unordered_map<ValueId, size_t> index_;
  std::vector<Statistics> by_worker_;
  std::unique_ptr<OrderedBins> ordered_;
  size_t rows_ = 1;
};

void observe_samples(const std::shared_ptr<const Program>& program, const std::vector<ObservedTensor>& tensors,
                     const DataSource& source, const ObserveOptions& options, CalibrationPart& part) {
  PartObserver observer(tensors, *program, options, part);
  PartRun run{
      .run = {.workers = options.workers,
              .label = "calibrating",
              // The comparison that follows runs the quantized network beside the float one.
              .worker_bytes = tensors.size() * kStatisticsBytes + program->arena_bytes(),
              .shared_bytes = kGraphsBesides * constant_bytes(program->graph()) + observer.pending_bytes(*program)},
      .granularity = observer.granularity(),
      .collect = [&] { observer.collect(); },
      .fail = {}};
  if (OrderedBins* ordered = observer.ordered()) {
    run.fail = [ordered](std::exception_ptr fault) { ordered->stop(std::move(fault)); };
  }
  run_part(
      program, source, options, run,
      [&](const SampleRun& at, size_t, ValueId id, const TensorView& view) { observer.add(at, id, view); }, part);
}

}  // namespace

CalibrationPart empty_part(const DataSource& source, int64_t asked, const Shard& shard) {
  CalibrationPart part;
  part.shard = shard;
  part.identity.asked = asked;
  part.identity.samples = std::min<int64_t>(asked, static_cast<int64_t>(source.size()));
  part.identity.isa = dnn::isa_name();
  return part;
}

void observe(const Graph& model, Plan& plan, const DataSource& source, const ObserveOptions& options,
             CalibrationPart& part, CalibrationTimes& times) {
  const HiddenStates states(model, plan);
  const Graph& graph = states.graph();
  const std::vector<ObservedTensor> tensors = observed_tensors(graph, plan);
  part.stage = CalibrationPart::Stage::kDistributions;
  if (tensors.empty()) {
    part.taken = part.shard.of(part.identity.samples, part.identity.rows);
    return;
  }
  const auto start = Clock::now();
  auto calibrated =
      std::make_shared<const Graph>(plan.calibrate_with_quantized_weights
                                        ? fake_quantized_weights(graph, plan, weight_workers(graph, options.workers))
                                        : graph);
  CompileOptions compile{.threads = 1, .compilers = options.workers};
  for (const ObservedTensor& tensor : tensors) compile.observe.push_back(tensor.value);
  const auto program = compile_for_samples(calibrated, source, compile);
  times.compile_seconds += seconds_since(start);

  const auto run_start = Clock::now();
  observe_samples(program, tensors, source, options, part);
  times.run_seconds += seconds_since(run_start);
  for (const ObservedTensor& tensor : tensors) {
    if (part.tensors.at(tensor.name).statistics.finite()) continue;
    throw Error(ErrorCode::kNumeric, "activation holds NaN or infinity",
                {.model = graph.info.path, .node = tensor.user()}, "check the calibration data and its preprocessing");
  }
}

CalibrationTimes calibrate(const Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers) {
  CalibrationTimes times;
  fill_weight_scales(graph, plan, weight_workers(graph, workers));
  CalibrationPart part = empty_part(source, samples);
  observe(graph, plan, source, {.workers = workers}, part, times);
  choose_factors(graph, plan, part, workers, times);
  if (plan.search_shifts) search_shifts(graph, plan, source, times.samples, workers);
  return times;
}

}  // namespace amct
