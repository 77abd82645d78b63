// The verb `calibrate` (quantize.h).
#include "base/clock.h"
#include "workflow/balance.h"
#include "workflow/choose.h"
#include "workflow/quantize_job.h"

namespace amct {
namespace {

using Next = CalibrationReport::Next;
using Stage = CalibrationPart::Stage;

// What this share is to write, by what it knows and does not know. Throws Error(kConfig) where something is missing.
Next next_step(const QuantizeJob& job, const CalibrationRun& run, const QuantizeRequest& request, const Shard& shard) {
  const bool searches = chooses(request);
  if (request.choose_only) {
    if (!searches) throw Error(ErrorCode::kConfig, "--choose: there is nothing to choose", {}, "leave it out");
    if (shard.count > 1) {
      throw Error(ErrorCode::kConfig, "--choose is done once, by one process", {}, "leave --shard out");
    }
    return Next::kShares;
  }
  if (shard.count == 1) return Next::kMerge;
  if (is_balanced(job.plan) && !run.knows_maxima()) return searches ? Next::kChoice : Next::kSecondRound;
  if (searches && !run.part().choice) {
    throw Error(ErrorCode::kConfig,
                "--balance=search, --nuq-loss and --nuq-weighted look at samples before they are shared", {},
                "first 'amct calibrate … --choose --out choice.cal', then all shares with '--calibration choice.cal'");
  }
  return Next::kMerge;
}

// False if an earlier run has written all of it.
bool observe_all(QuantizeJob& job, CalibrationRun& run, const QuantizeRequest& request, Next next) {
  const Stage stage = next == Next::kMerge ? Stage::kDistributions : Stage::kPreliminary;
  const bool was_there = request.resume && run.take_written(request.out_prefix, stage);
  if (next == Next::kSecondRound || next == Next::kChoice) {
    if (was_there) return false;
    run.observe_maxima(job.graph, job.plan);
    run.write(request.out_prefix);
    return true;
  }
  if (next == Next::kShares) {
    if (was_there && run.part().choice) return false;
    prepare_to_observe(job, run, request);
    run.write_preliminary(request.out_prefix);
    return true;
  }
  prepare_to_observe(job, run, request);
  if (was_there && run.has_observed(job.graph, job.plan)) return false;
  CalibrationTimes times;
  run.observe(job.graph, job.plan, times);
  run.write(request.out_prefix);
  return true;
}

}  // namespace

CalibrationReport write_calibration(const QuantizeRequest& request, const Shard& shard) {
  const auto start = Clock::now();
  QuantizeJob job = prepare_job(request);
  if (job.plan.weight_only) {
    throw Error(ErrorCode::kConfig, "the plan quantizes weights only: there is nothing to calibrate",
                {.file = request.config.string()}, "give it to 'amct quantize'");
  }
  CalibrationRun run = job.calibration(request, shard);
  if (run.is_complete()) {
    throw Error(ErrorCode::kConfig, "these parts need no second round", {.file = request.parts.front().string()},
                "give them to 'amct quantize --calibration'");
  }
  CalibrationReport report{.model = request.model.string(), .part = request.out_prefix, .shard = shard};
  report.next = next_step(job, run, request, shard);
  report.was_there = !observe_all(job, run, request, report.next);
  if (!report.was_there) run.remove_checkpoint();
  report.samples = run.own_samples();
  report.bytes = std::filesystem::file_size(request.out_prefix);
  report.all_samples = run.part().identity.samples;
  report.tensors = report.next != Next::kMerge ? run.part().maxima.size() : run.part().tensors.size();
  report.seconds = seconds_since(start);
  return report;
}

}  // namespace amct
