// A model and what is to be done to it, before anything is observed: what `quantize` and `calibrate` start from. Making
// it reads the model, simplifies and fuses it, plans the layers from the configuration, and opens the data, so that
// whatever is wrong with the request is said before the first sample runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "passes/pass.h"
#include "plan/plan.h"
#include "workflow/calibration_run.h"
#include "workflow/inspect.h"
#include "workflow/quantize.h"

namespace amct {

struct QuantizeJob {
  Graph graph;  // simplified and fused
  ModelFacts facts;
  PipelineReport passes;
  Plan plan;
  std::unique_ptr<DataSource> source;  // null without data
  std::vector<InputSpec> inputs;
  std::vector<int64_t> labels;  // of all samples; empty without labels or data
  int64_t samples = 0;          // asked for
  std::string settings;         // calibration_identity.h
  std::vector<std::string> warnings;
  double read_seconds = 0, prepare_seconds = 0;

  // The request and this must outlive it.
  CalibrationRun calibration(const QuantizeRequest& request, const Shard& shard = {}) const;
};

// Throws Error, or ErrorList with all faults of the configuration.
QuantizeJob prepare_job(const QuantizeRequest& request);

// Adds to the plan the tensors that the QDQ file quantizes besides the inputs of layers, if it is asked for. Throws
// ErrorList of Error(kConfig) where the plan does not suit its target.
void add_qdq_tensors(const Graph& graph, Plan& plan, const QuantizeRequest& request);

}  // namespace amct
