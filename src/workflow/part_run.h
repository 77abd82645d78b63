// Runs the samples that a part of a calibration lacks, with a checkpoint now and then: what observing for ranges
// (calibrate.cc) and for balance (balance.cc) have in common. A part is what one process knows of its share of the
// samples (calibration_part.h); one read from a checkpoint lacks only what came after that.
#pragma once

#include <exception>
#include <functional>
#include <memory>

#include "workflow/calibrate.h"
#include "workflow/sample_run.h"

namespace amct {

struct PartRun {
  SampleRunOptions run;                          // its samples and gate are filled in
  size_t granularity = 1;                        // checkpoints lie behind a multiple of so many runs
  std::function<void()> collect;                 // moves what the workers know into the part; no worker is in a run
  std::function<void(std::exception_ptr)> fail;  // a worker has failed; may be null
};

// Callbacks count runs and samples from the first one that the part lacks.
void run_part(const std::shared_ptr<const Program>& program, const DataSource& source, const ObserveOptions& options,
              PartRun run, const ObserveRun& observe, CalibrationPart& part);

}  // namespace amct
