// Runner: one worker's arena, with every step bound to its addresses.
#include <fmt/core.h>

#include <unordered_map>

#include "base/block.h"
#include "exec/profile.h"
#include "exec/program.h"
#include "exec/program_impl.h"
#include "kernels/threads.h"

namespace amct {
namespace {

struct BoundStep {
  std::function<void()> run;
  std::vector<std::pair<ValueId, TensorView>> observed;
};

// Binds a step anew at every run, to constants that are in memory for that run only.
std::function<void()> bind_late(const Step& step, StepIo io, std::vector<std::pair<size_t, Tensor>> constants) {
  return [&step, io = std::move(io), constants = std::move(constants)]() mutable {
    std::vector<Tensor> resident;
    for (const auto& [port, tensor] : constants) {
      io.inputs[port].data = resident.emplace_back(tensor.resident()).view().data;
    }
    step.bind(io)();
  };
}

}  // namespace

struct Runner::Impl {
  Block arena;
  std::vector<MutableView> inputs;
  std::unordered_map<size_t, Tensor> unread;  // for inputs that were compiled in: what is written there is not read
  std::vector<BoundStep> steps;
  std::vector<std::pair<ValueId, TensorView>> observed_inputs;
  size_t next = 0;  // step of `advance`
};

Runner::Runner(std::shared_ptr<const Program> program) : program_(std::move(program)), impl_(std::make_unique<Impl>()) {
  const CompiledProgram& p = *program_->compiled_;
  impl_->arena = allocate_block(p.arena_bytes);
  if (impl_->arena == nullptr) {
    throw Error(ErrorCode::kResource, fmt::format("not enough memory for the activations ({} bytes)", p.arena_bytes),
                {.model = p.graph->info.path});
  }
  const auto address = [&](int buffer) { return impl_->arena.get() + p.buffers[buffer].offset; };
  const auto writable = [&](const Place& place) {
    return MutableView{place.dtype, place.dims, place.buffer >= 0 ? address(place.buffer) : nullptr};
  };
  const auto readable = [&](const Place& place) {
    return TensorView{place.dtype, place.dims, place.buffer >= 0 ? address(place.buffer) : place.constant.view().data};
  };

  for (const Place& place : p.inputs) {
    if (place.buffer >= 0) {
      impl_->inputs.push_back(writable(place));
    } else {
      impl_->inputs.emplace_back();
    }
  }
  for (const auto& [id, place] : p.observed_inputs) impl_->observed_inputs.emplace_back(id, readable(place));

  const ThreadLimit limit(p.options.threads);
  for (const CompiledStep& step : p.steps) {
    StepIo io;
    std::vector<std::pair<size_t, Tensor>> late;
    for (const Place& place : step.inputs) {
      if (p.options.lean && place.constant && !place.constant.is_resident()) {
        late.emplace_back(io.inputs.size(), place.constant);
        io.inputs.push_back({place.dtype, place.dims, nullptr});
      } else {
        io.inputs.push_back(readable(place));
      }
    }
    for (const Place& place : step.outputs) io.outputs.push_back(writable(place));
    if (step.scratch >= 0) io.scratch = address(step.scratch);
    BoundStep bound{late.empty() ? step.step->bind(io) : bind_late(*step.step, io, std::move(late)), {}};
    for (const auto& [id, place] : step.observed) bound.observed.emplace_back(id, readable(place));
    impl_->steps.push_back(std::move(bound));
  }
}

Runner::~Runner() = default;

MutableView Runner::input(size_t index) {
  MutableView& view = impl_->inputs.at(index);
  const Tensor& constant = program_->compiled_->inputs[index].constant;
  if (!view && constant) {
    Tensor& memory = impl_->unread[index] = Tensor::allocate(constant.dtype(), constant.dims());
    view = memory.mutable_view();
  }
  return view;
}

void Runner::run_step(size_t index) {
  const CompiledProgram& p = *program_->compiled_;
  try {
    impl_->steps[index].run();
  } catch (const Error& error) {
    throw error.with({.model = p.graph->info.path, .node = p.steps[index].node, .op = p.steps[index].info.op});
  }
}

bool Runner::advance(const ObserveFn& observe) {
  const ThreadLimit limit(program_->compiled_->options.threads);
  size_t& next = impl_->next;
  if (next == 0) {
    for (const auto& [id, view] : impl_->observed_inputs) observe(id, view);
  }
  while (next < impl_->steps.size()) {
    const BoundStep& step = impl_->steps[next];
    run_step(next++);
    for (const auto& [id, view] : step.observed) observe(id, view);
    if (!step.observed.empty()) return true;
  }
  next = 0;
  return false;
}

void Runner::run(const ObserveFn& observe, Profile* profile) {
  const CompiledProgram& p = *program_->compiled_;
  const size_t first_step = profile != nullptr ? profile->steps_of(program_) : 0;
  const ThreadLimit limit(p.options.threads);
  if (observe) {
    for (const auto& [id, view] : impl_->observed_inputs) observe(id, view);
  }
  for (size_t i = 0; i < impl_->steps.size(); ++i) {
    const BoundStep& step = impl_->steps[i];
    const auto begin = profile != nullptr ? Profile::Clock::now() : Profile::Clock::time_point();
    run_step(i);
    if (profile != nullptr) profile->add(first_step + i, begin, Profile::Clock::now());
    if (!observe) continue;
    for (const auto& [id, view] : step.observed) observe(id, view);
  }
}

TensorView Runner::value(ValueId id) const {
  const CompiledProgram& p = *program_->compiled_;
  const auto at = p.readable.find(id);
  if (at == p.readable.end()) {
    const std::string& name = p.graph->value(id).name;
    throw Error(
        ErrorCode::kUnsupported, fmt::format("value '{}' cannot be computed", name), {.model = p.graph->info.path},
        p.needed.reach[id.index] == Reach::kBehindOpaque ? "an operator before it is not supported: see 'amct inspect'"
                                                         : "its shape depends on the data");
  }
  const Place& place = at->second;
  return {place.dtype, place.dims,
          place.buffer >= 0 ? impl_->arena.get() + p.buffers[place.buffer].offset : place.constant.view().data};
}

TensorView Runner::output(size_t index) const { return value(program_->compiled_->graph->outputs().at(index)); }

}  // namespace amct
