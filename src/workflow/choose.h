// What stands between a prepared job and the observation of its samples: activation balance, the tensors of the QDQ
// file, and what is searched for on the way (choice.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "workflow/calibration_run.h"
#include "workflow/quantize_job.h"

namespace amct {

// The request asks for a search before the samples are observed: --balance=search, --nuq-loss,
// --nuq-weighted.
bool chooses(const QuantizeRequest& request);

// Balances graph and plan of the job and settles what its layers have. What is to be chosen is taken from the run, and
// searched for and given to the run if it does not know. Returns the layers whose balance went into the layers before
// them. Throws Error.
std::vector<std::string> prepare_to_observe(QuantizeJob& job, CalibrationRun& run, const QuantizeRequest& request);

// The job's samples. Throws Error(kConfig) naming the option that needs them where there are none.
const DataSource& source_for(const QuantizeJob& job, std::string_view option);

}  // namespace amct
