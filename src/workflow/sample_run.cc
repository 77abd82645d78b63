#include "workflow/sample_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "data/input_file.h"
#include "data/prefetch.h"
#include "workflow/memory_need.h"
#include "workflow/model.h"

namespace amct {
namespace {

// Of one sample: without the axis of rows that `dims` has and `like` may lack.
Dims sample_of(const Dims& dims, const Dims& like) {
  return dims.size() > like.size() ? Dims(dims.begin() + 1, dims.end()) : dims;
}

InputBinding binding_for_samples(const Graph& graph, const DataSource& source) {
  InputBinding binding;
  const std::vector<Dims> samples = source.sample_dims(0);
  const Batching batching = batching_of(graph);
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const Value& input = graph.value(graph.inputs()[i]);
    const Shape& shape = input.type.shape;
    Dims dims;
    if (!batching.whole[i]) dims.push_back(shape.rank() > 0 && shape[0].is_fixed() ? shape[0].extent() : 1);
    dims.insert(dims.end(), samples[i].begin(), samples[i].end());
    binding.dims[graph.inputs()[i]] = std::move(dims);
  }
  return binding;
}

// One worker: a runner per program.
class Worker {
 public:
  Worker(const std::vector<std::shared_ptr<const Program>>& programs, const DataSource& source) : source_(source) {
    for (const auto& program : programs) runners_.push_back(std::make_unique<Runner>(program));
  }

  void run(const std::vector<Tensor>& inputs, SampleRun& run, const ObserveRun& observe, bool in_turn) {
    std::vector<ObserveFn> forward(runners_.size());
    for (size_t program = 0; observe && program < runners_.size(); ++program) {
      forward[program] = [&, program](ValueId id, const TensorView& view) { observe(run, program, id, view); };
    }
    for (size_t program = 0; program < runners_.size(); ++program) {
      Runner& runner = *runners_[program];
      for (size_t i = 0; i < inputs.size(); ++i) {
        const MutableView to = runner.input(i);  // a scalar takes the first sample's, whatever the batch
        check_extents(inputs[i].dims(), to.dims, run.first_sample);
        std::memcpy(to.data, inputs[i].bytes().data(), to.bytes());
      }
      if (!in_turn) runner.run(forward[program]);
      run.runners.push_back(&runner);
    }
    if (in_turn) advance_in_turn(forward);
  }

 private:
  // Extents that the model leaves open are those of the first sample: programs are compiled for them once.
  void check_extents(const Dims& given, const Dims& compiled, size_t sample) const {
    if (sample_of(given, compiled) == compiled) return;
    throw data_error(fmt::format("the sample has extents {}, the first one {}", to_string(given), to_string(compiled)),
                     source_.sample_name(sample), "add crop=… or resize=HEIGHTxWIDTH to --preprocess");
  }

  void advance_in_turn(const std::vector<ObserveFn>& forward) {
    std::vector<bool> going(runners_.size(), true);
    for (bool any = true; any;) {
      any = false;
      for (size_t i = 0; i < runners_.size(); ++i) {
        if (going[i]) going[i] = runners_[i]->advance(forward[i]);
        any = any || going[i];
      }
    }
  }

  const DataSource& source_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace

TensorView valid_rows(const TensorView& view, const SampleRun& run) {
  TensorView part = view;
  if (run.valid < run.rows && !part.dims.empty() && part.dims[0] == static_cast<int64_t>(run.rows)) {
    part.dims[0] = static_cast<int64_t>(run.valid);
  }
  return part;
}

InferredTypes types_for_samples(const Graph& graph, const DataSource& source) {
  std::unordered_map<ValueId, TensorType> inputs;
  for (const auto& [id, dims] : binding_for_samples(graph, source).dims) {
    inputs[id] = {graph.value(id).type.dtype, Shape::of(dims)};
  }
  return infer_types(graph, inputs);
}

std::shared_ptr<const Program> compile_for_samples(std::shared_ptr<const Graph> graph, const DataSource& source,
                                                   CompileOptions options) {
  graph = executable(*graph);
  options.lean = has_large_weights(*graph);
  const auto program = Program::compile(graph, binding_for_samples(*graph, source), options);
  std::vector<ValueId> wanted = options.keep;
  wanted.insert(wanted.end(), options.observe.begin(), options.observe.end());
  for (const ValueId id : wanted) {
    if (program->reach(id) == Reach::kComputed) continue;
    const bool is_output = std::ranges::find(graph->outputs(), id) != graph->outputs().end();
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{} '{}' cannot be computed: {}", is_output ? "output" : "value", graph->value(id).name,
                            program->reach(id) == Reach::kBehindOpaque ? "an operator before it is not supported"
                                                                       : "its shape depends on the data"),
                {.model = graph->info.path}, "'amct inspect' lists the operators of the model");
  }
  return program;
}

void run_samples(const std::vector<std::shared_ptr<const Program>>& programs, const DataSource& source,
                 const SampleRunOptions& options, const ObserveRun& observe, const AfterRun& after) {
  const auto rows = static_cast<size_t>(programs[0]->batch());
  const std::vector<InputSpec> inputs = input_specs(programs[0]->graph());
  const auto samples = std::min(static_cast<size_t>(options.samples), source.size());
  const size_t runs = (samples + rows - 1) / rows;
  const auto workers = static_cast<int>(std::clamp<size_t>(runs, 1, static_cast<size_t>(options.workers)));
  require_memory_to_run(programs, workers, {.shared = options.shared_bytes, .per_worker = options.worker_bytes},
                        options.label.empty() ? "running samples" : options.label);
  Prefetcher reader(
      source, inputs,
      {.count = samples, .batch = rows, .threads = workers, .depth = static_cast<size_t>(2 * workers + 1)});
  std::optional<Progress> own;
  Progress* progress = options.progress;
  if (progress != nullptr) {
    progress->expect(samples);
  } else if (!options.label.empty()) {
    progress = &own.emplace(std::string(options.label), samples);
  }
  const auto work = [&](size_t index) {
    Worker worker(programs, source);
    while (true) {
      if (options.gate != nullptr) options.gate->enter();
      const auto batch = reader.next();
      if (!batch) break;
      SampleRun run{.worker = index, .first_sample = batch->first(), .valid = batch->valid(), .rows = rows};
      worker.run(batch->inputs(), run, observe, options.in_turn);
      if (after) after(run);
      if (options.gate != nullptr) options.gate->leave();
      if (progress) progress->advance(run.valid);
    }
    if (options.gate != nullptr) options.gate->leave();
  };
  parallel_for(static_cast<size_t>(workers), workers, [&](int, size_t index) {
    try {
      work(index);
    } catch (...) {
      if (options.gate != nullptr) options.gate->fail(std::current_exception());
      throw;
    }
  });
}

}  // namespace amct
