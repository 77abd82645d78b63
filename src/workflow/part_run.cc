#include "workflow/part_run.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "workflow/checkpoint_gate.h"

namespace amct {

void run_part(const std::shared_ptr<const Program>& program, const DataSource& source, const ObserveOptions& options,
              PartRun run, const ObserveRun& observe, CalibrationPart& part) {
  const auto rows = program->batch();
  const SampleRange share = part.shard.of(part.identity.samples, rows);
  if (part.taken.size() == 0) part.taken = {share.begin, share.begin};
  const SampleRange lacking{part.taken.end, share.end};
  if (part.taken.begin != share.begin || lacking.size() < 0 || (lacking.size() > 0 && part.taken.size() % rows != 0)) {
    throw Error(ErrorCode::kInput, "the checkpoint holds other samples than this part has", {},
                "calibrate from the start");
  }
  const auto advance = [&](int64_t samples) {
    run.collect();
    part.taken.end = std::min(share.end, lacking.begin + samples);
  };
  if (lacking.size() <= 0) return advance(0);
  std::optional<CheckpointGate> gate;
  if (options.checkpoint || run.fail) {
    const double seconds = options.checkpoint ? options.checkpoint_seconds : std::numeric_limits<double>::infinity();
    gate.emplace(
        seconds, run.granularity,
        [&](size_t runs) {
          advance(static_cast<int64_t>(runs) * rows);
          options.checkpoint(part);
        },
        run.fail);
    run.run.gate = &*gate;
  }
  run.run.samples = lacking.size();
  AfterRun after;
  if (options.others != nullptr) {
    run.run.progress = &options.others->progress();
    after = [&](const SampleRun&) {
      if (options.others->has_failed()) throw Error(ErrorCode::kInput, "a process that observes another share failed");
    };
  }
  run_samples({program}, RangeSource(source, lacking), run.run, observe, after);
  advance(lacking.size());
}

}  // namespace amct
