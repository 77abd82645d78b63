// Calibration: runs samples through the float network and fills the factors of a plan.
//
// One program per worker, each on its own sample, with an observer on every tensor that the plan names; observers merge
// exactly, so the factors do not depend on the number of workers, the batch size or the order of samples. As AMCT does,
// the weights are fake-quantized while activations are observed (spec C.1), unless the plan says otherwise.
#pragma once

#include <cstdint>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

struct CalibrationTimes {
  int64_t samples = 0;
  double compile_seconds = 0;
  double run_seconds = 0;     // decoding, running and observing
  double search_seconds = 0;  // choosing factors
};

// `graph` is the prepared float graph that the plan was made for. Weight scales are filled as well. Warnings (constant
// activations, fewer samples than asked) are added to the plan. Throws Error(kNumeric) naming the layer whose
// activation or weight holds NaN or infinity.
CalibrationTimes calibrate(const Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers);

}  // namespace amct
