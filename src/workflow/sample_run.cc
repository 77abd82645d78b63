#include "workflow/sample_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/progress.h"
#include "base/thread_pool.h"

namespace amct {
namespace {

// Samples that one run of the program takes: the fixed batch of its first input.
size_t rows_of(const Program& program) {
  const Graph& graph = program.graph();
  if (graph.inputs().empty()) return 1;
  const Shape& shape = program.type(graph.inputs()[0]).shape;
  return shape.rank() > 0 ? static_cast<size_t>(std::max<int64_t>(shape[0].extent(), 1)) : 1;
}

// Row `row` of an input view with the batch axis, as the source fills it.
MutableView sample_view(const MutableView& input, size_t row) {
  MutableView view{input.dtype, {}, nullptr};
  if (!input.dims.empty()) view.dims.assign(input.dims.begin() + 1, input.dims.end());
  view.data = static_cast<std::byte*>(input.data) + row * view.bytes();
  return view;
}

// One worker: a runner per program, and the way samples get into their inputs.
class Worker {
 public:
  Worker(const std::vector<std::shared_ptr<const Program>>& programs, const DataSource& source)
      : source_(source), rows_(rows_of(*programs[0])), inputs_(programs[0]->graph().inputs().size()) {
    for (const auto& program : programs) runners_.push_back(std::make_unique<Runner>(program));
  }

  // Reads the samples of one run into the first runner and copies them to the others. The last run of a fixed batch is
  // filled up with its last sample.
  void load(size_t first, size_t valid) {
    for (size_t row = 0; row < rows_; ++row) {
      std::vector<MutableView> destination;
      for (size_t i = 0; i < inputs_; ++i) destination.push_back(sample_view(runners_[0]->input(i), row));
      source_.read(first + std::min(row, valid - 1), destination);
    }
    for (size_t other = 1; other < runners_.size(); ++other) {
      for (size_t i = 0; i < inputs_; ++i) {
        const MutableView from = runners_[0]->input(i);
        std::memcpy(runners_[other]->input(i).data, from.data, from.bytes());
      }
    }
  }

  void run(SampleRun& run, const ObserveRun& observe) {
    run.rows = rows_;
    for (size_t program = 0; program < runners_.size(); ++program) {
      ObserveFn forward;
      if (observe) {
        forward = [&](ValueId id, const TensorView& view) { observe(run, program, id, view); };
      }
      runners_[program]->run(forward);
      run.runners.push_back(runners_[program].get());
    }
  }

  size_t rows() const { return rows_; }

 private:
  const DataSource& source_;
  size_t rows_;
  size_t inputs_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace

std::shared_ptr<const Program> compile_for_samples(std::shared_ptr<const Graph> graph, const DataSource& source,
                                                   CompileOptions options) {
  InputBinding binding;
  const std::vector<Dims> samples = source.sample_dims();
  for (size_t i = 0; i < graph->inputs().size(); ++i) {
    const Value& input = graph->value(graph->inputs()[i]);
    const Shape& shape = input.type.shape;
    Dims dims{shape.rank() > 0 && shape[0].is_fixed() ? shape[0].extent() : 1};
    dims.insert(dims.end(), samples[i].begin(), samples[i].end());
    binding.dims[graph->inputs()[i]] = std::move(dims);
  }
  const auto program = Program::compile(graph, binding, options);
  for (const ValueId id : graph->outputs()) {
    if (program->reach(id) == Reach::kComputed) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("output '{}' cannot be computed: {}", graph->value(id).name,
                            program->reach(id) == Reach::kBehindOpaque ? "an operator before it is not supported"
                                                                       : "its shape depends on the data"),
                {.model = graph->info.path}, "'amct inspect' lists the operators of the model");
  }
  return program;
}

void run_samples(const std::vector<std::shared_ptr<const Program>>& programs, const DataSource& source,
                 const SampleRunOptions& options, const ObserveRun& observe, const AfterRun& after) {
  const auto samples = std::min(static_cast<size_t>(options.samples), source.size());
  const size_t rows = rows_of(*programs[0]);
  const size_t runs = (samples + rows - 1) / rows;
  const int workers = static_cast<int>(std::clamp<size_t>(static_cast<size_t>(options.workers), 1, std::max<size_t>(runs, 1)));
  std::vector<std::unique_ptr<Worker>> states(static_cast<size_t>(workers));
  std::optional<Progress> progress;
  if (!options.label.empty()) progress.emplace(std::string(options.label), samples);
  parallel_for(runs, workers, [&](int worker, size_t index) {
    auto& state = states[static_cast<size_t>(worker)];
    if (state == nullptr) state = std::make_unique<Worker>(programs, source);
    SampleRun run{.worker = static_cast<size_t>(worker), .first_sample = index * rows};
    run.valid = std::min(rows, samples - run.first_sample);
    state->load(run.first_sample, run.valid);
    state->run(run, observe);
    if (after) after(run);
    if (progress) progress->advance(run.valid);
  });
}

}  // namespace amct
