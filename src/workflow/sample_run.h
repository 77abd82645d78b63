// Runs compiled programs over many samples, in parallel over samples: one single-threaded program per worker, each on
// its own sample, fed by readers that decode ahead. Memory does not grow with the number of samples, and what a sample
// computes does not depend on which worker runs it.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "data/source.h"
#include "exec/program.h"
#include "ops/infer.h"
#include "workflow/run_gate.h"

namespace amct {

struct SampleRunOptions {
  int workers = 1;
  int64_t samples = 0;           // the first N of the source
  std::string_view label;        // of the progress bar; empty = none
  Progress* progress = nullptr;  // a bar that is there already, for this run among others; null = one of its own
  // Programs take turns, each as far as its next observed value, so that values of two networks can be compared as they
  // arise and need not be kept.
  bool in_turn = false;
  // For --max-memory: what the callbacks keep for each worker, and what the caller keeps besides.
  uint64_t worker_bytes = 0;
  uint64_t shared_bytes = 0;
  RunGate* gate = nullptr;
};

// What the callbacks are told about one run.
struct SampleRun {
  size_t worker = 0;
  size_t first_sample = 0;
  size_t valid = 1;  // samples in this run; fewer than `rows` in the last run of a model with a fixed batch
  size_t rows = 1;   // batch of the program
  std::vector<const Runner*> runners;  // one per program, already run
};

// Leading rows of a value whose batch was filled up: what belongs to samples.
TensorView valid_rows(const TensorView& view, const SampleRun& run);

// Observed values during a run, by program.
using ObserveRun = std::function<void(const SampleRun&, size_t program, ValueId, const TensorView&)>;
using AfterRun = std::function<void(const SampleRun&)>;

// The types of all values for one sample a run, or the graph's fixed batch; extents that the model leaves open are the
// first sample's.
InferredTypes types_for_samples(const Graph& graph, const DataSource& source);

// Programs for one sample a run (or the graph's fixed batch), with extents that the data decides where the model leaves
// them open. Throws Error when an input cannot be determined or a value to keep or to observe cannot be computed;
// outputs that are neither may be out of reach.
std::shared_ptr<const Program> compile_for_samples(std::shared_ptr<const Graph> graph, const DataSource& source,
                                                   CompileOptions options);

// Runs all programs (which take the same inputs) on every sample. Callbacks are called from worker threads, `after`
// once per run; distinct workers call at the same time. Throws Error(kInput) naming a sample of other extents than
// those that the programs were compiled for.
void run_samples(const std::vector<std::shared_ptr<const Program>>& programs, const DataSource& source,
                 const SampleRunOptions& options, const ObserveRun& observe, const AfterRun& after);

}  // namespace amct
