// The verb `calibrate` (quantize.h).
#include <chrono>

#include "workflow/balance.h"
#include "workflow/quantize_job.h"

namespace amct {

CalibrationReport write_calibration(const QuantizeRequest& request, const Shard& shard) {
  const auto start = std::chrono::steady_clock::now();
  QuantizeJob job = prepare_job(request);
  CalibrationRun run = job.calibration(request, shard);
  if (run.is_complete()) {
    throw Error(ErrorCode::kConfig, "these parts need no second round", {.file = request.parts.front().string()},
                "give them to 'amct quantize --calibration'");
  }
  CalibrationReport report{.model = request.model.string(), .part = request.out_prefix, .shard = shard};
  report.needs_another = is_balanced(job.plan) && shard.count > 1 && !run.knows_maxima();
  using Stage = CalibrationPart::Stage;
  report.was_there = request.resume &&
                     run.is_written(request.out_prefix, report.needs_another ? Stage::kMaxima : Stage::kDistributions);
  if (!report.was_there) {
    if (report.needs_another) {
      run.observe_maxima(job.graph, job.plan);
    } else {
      CalibrationTimes times;
      run.balance(job.graph, job.plan);
      add_qdq_tensors(job.graph, job.plan, request);
      run.observe(job.graph, job.plan, times);
    }
    run.write(request.out_prefix);
    run.remove_checkpoint();
  }
  report.samples = shard.of(run.part().identity.samples, 1);
  report.bytes = std::filesystem::file_size(request.out_prefix);
  report.all_samples = run.part().identity.samples;
  report.tensors = report.needs_another ? run.part().maxima.size() : run.part().tensors.size();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace amct
