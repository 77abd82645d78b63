// Calibration: runs samples through the float network and fills the factors of a plan.
//
// One program per worker, each on its own sample, with an observer on every tensor that the plan names; observers merge
// exactly, so the factors do not depend on the number of workers, the batch size or the order of samples, nor on how
// the samples are shared among processes. As AMCT does, the weights are fake-quantized while activations are observed
// (spec C.1), unless the plan says otherwise. Only the histograms of HFMG follow the batches (spec C.2), where one
// process sees all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"
#include "workflow/calibration_part.h"
#include "workflow/shares.h"

namespace amct {

struct CalibrationTimes {
  int64_t samples = 0;
  double compile_seconds = 0;
  double run_seconds = 0;     // decoding, running and observing
  double search_seconds = 0;  // choosing factors
};

// How samples are observed.
struct ObserveOptions {
  int workers = 1;
  int64_t batch = 1;  // samples that enter a histogram of HFMG together
  // Called now and then with what is known so far; null = never.
  std::function<void(CalibrationPart&)> checkpoint;
  double checkpoint_seconds = 30;
  OtherShares* others = nullptr;  // that run beside: one progress bar, and a failure of theirs ends this too
};

// A part that has seen nothing; `asked` samples are wanted.
CalibrationPart empty_part(const DataSource& source, int64_t asked, const Shard& shard = {});

// Runs the samples of the part's share that it has not seen, and adds to the distributions of the plan's tensors what
// they teach. `graph` is the prepared, balanced float graph that the plan was made for; its weight scales are filled.
// Throws Error(kNumeric) naming the layer whose activation or weight holds NaN or infinity.
void observe(const Graph& graph, Plan& plan, const DataSource& source, const ObserveOptions& options,
             CalibrationPart& part, CalibrationTimes& times);

// Fills the factors of the plan from the distributions of all samples. Warnings (constant activations, fewer samples
// than asked, histograms of HFMG that follow no batches) are added to the plan. Throws Error(kInput) where the part
// lacks a tensor.
void choose_factors(const Graph& graph, Plan& plan, const CalibrationPart& part, int workers, CalibrationTimes& times);

// All of it, on the first `samples` of the source.
CalibrationTimes calibrate(const Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers);

}  // namespace amct
