#include "exec/program.h"

#include <algorithm>

#include "exec/program_impl.h"
#include "ops/op_row.h"

namespace amct {

Program::Program(std::unique_ptr<CompiledProgram> compiled) : compiled_(std::move(compiled)) {}
Program::~Program() = default;

std::shared_ptr<const Program> Program::compile(std::shared_ptr<const Graph> graph, const InputBinding& binding,
                                                const CompileOptions& options) {
  auto impl = std::make_unique<CompiledProgram>();
  impl->graph = std::move(graph);
  impl->options = options;
  std::unordered_map<ValueId, TensorType> inputs;
  for (const auto& [id, dims] : binding.dims) {
    const auto dtype = binding.dtypes.find(id);
    inputs[id] = {dtype != binding.dtypes.end() ? dtype->second : impl->graph->value(id).type.dtype, Shape::of(dims)};
  }
  impl->types = infer_types(*impl->graph, inputs, binding.values);
  impl->wanted = impl->graph->outputs();
  impl->wanted.insert(impl->wanted.end(), options.keep.begin(), options.keep.end());
  impl->wanted.insert(impl->wanted.end(), options.observe.begin(), options.observe.end());
  impl->needed = find_needed(*impl->graph, impl->types, impl->wanted);
  compile_steps(*impl);
  impl->arena_bytes = plan_arena(impl->buffers);
  return std::shared_ptr<const Program>(new Program(std::move(impl)));
}

std::vector<Program::StepInfo> Program::steps() const {
  std::vector<StepInfo> infos;
  for (const CompiledStep& step : compiled_->steps) infos.push_back(step.info);
  return infos;
}

size_t Program::arena_bytes() const { return compiled_->arena_bytes; }
const Graph& Program::graph() const { return *compiled_->graph; }
int64_t Program::batch() const {
  int64_t batch = 0;
  for (const ValueId input : graph().inputs()) {
    const Shape& shape = type(input).shape;
    if (shape.rank() == 0) continue;
    if (batch != 0 && batch != shape[0].extent()) return 1;
    batch = shape[0].extent();
  }
  return std::max<int64_t>(batch, 1);
}

bool Program::reads_input(size_t index) const { return compiled_->inputs.at(index).buffer >= 0; }
Reach Program::reach(ValueId id) const { return compiled_->needed.reach[id.index]; }
const TensorType& Program::type(ValueId id) const { return compiled_->types.types[id.index]; }

Layout Program::observed_layout(ValueId id) const {
  const auto at = compiled_->observed_layouts.find(id);
  return at != compiled_->observed_layouts.end() ? at->second : Layout::kPlain;  // graph inputs
}

bool Program::complete() const {
  for (const ValueId id : compiled_->wanted) {
    if (reach(id) != Reach::kComputed) return false;
  }
  return true;
}

}  // namespace amct
