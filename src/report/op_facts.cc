#include "report/op_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include "exec/program.h"

namespace amct {
namespace {

constexpr DType kFloats[] = {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16};
constexpr DType kIntegers[] = {DType::kInt8,  DType::kInt16,  DType::kInt32,  DType::kInt64,
                               DType::kUInt8, DType::kUInt16, DType::kUInt32, DType::kUInt64};
constexpr DType kNibbles[] = {DType::kInt4, DType::kUInt4};
constexpr DType kSmallFloats[] = {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2,
                                  DType::kFloat8E5M2FNUZ, DType::kFloat4E2M1};
constexpr DType kTruth[] = {DType::kBool};

// Ones: they divide, index and take logarithms without offence.
Tensor ones(DType dtype, const Dims& dims) {
  return Tensor::of<int64_t>(dims, std::vector<int64_t>(static_cast<size_t>(element_count(dims)), 1)).cast(dtype);
}

Tensor tensor_of(const SampleInput& input) {
  if (input.dtype == DType::kUndefined || input.value) return input.value;
  return ones(input.dtype, input.dims);
}

// A sample as a graph of one node.
struct OneNode {
  Graph graph;
  NodeId id;
  std::vector<Tensor> inputs;
  const Node& node() const { return graph.node(id); }
};

OneNode node_of(const OpRow& row, const Sample& sample) {
  OneNode result;
  std::vector<ValueId> values;
  for (const SampleInput& input : sample.inputs) {
    result.inputs.push_back(tensor_of(input));
    const Tensor& tensor = result.inputs.back();
    if (!tensor) {
      values.push_back(kNoValue);
    } else if (input.constant) {
      values.push_back(result.graph.add_constant("constant", tensor));
    } else {
      values.push_back(result.graph.add_input("input", tensor.type()));
    }
  }
  std::vector<std::string> outputs;
  for (size_t i = 0; i < sample.outputs; ++i) outputs.push_back(fmt::format("output{}", i));
  result.id = result.graph.add_node("node", row.name, &row, std::move(values), outputs, sample.attrs);
  result.graph.set_outputs(result.graph.node(result.id).outputs);
  return result;
}

// The sample with the data, and what shares its type, in another type.
Sample retyped(const OpRow& row, Sample sample, DType dtype) {
  DType own = DType::kUndefined;
  for (size_t port = sample.inputs.size(); port-- > 0;) {
    const InputPort* input = row.input_port(port);
    const DType its = sample.inputs[port].dtype;
    const bool is_data = input != nullptr && input->role == Role::kActivation && its != DType::kUndefined;
    if (is_data && (its != DType::kBool || own == DType::kUndefined)) own = its;  // a condition chooses among the data
  }
  if (own == DType::kUndefined) own = sample.inputs.front().dtype;
  for (SampleInput& input : sample.inputs) {
    if (input.dtype != own) continue;
    if (input.value) input.value = input.value.cast(dtype);
    input.dtype = dtype;
  }
  return sample;
}

bool takes(const OpRow& row, const std::vector<Sample>& samples, DType dtype) {
  return std::any_of(samples.begin(), samples.end(), [&](const Sample& sample) {
    if (sample.inputs.empty()) return false;
    try {
      const OneNode one = node_of(row, retyped(row, sample, dtype));
      if (row.run != nullptr) return !run_node(one.node(), one.inputs).empty();
      std::vector<InferContext::Input> types;
      for (const Tensor& input : one.inputs)
        types.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, &input});
      InferContext context(one.node(), std::move(types));
      row.infer(context);
      return true;
    } catch (const Error&) {
      return false;
    }
  });
}

std::string types_of(const OpRow& row, const std::vector<Sample>& samples) {
  std::vector<std::string_view> names;
  const auto add = [&](std::span<const DType> group, std::string_view name) {
    std::vector<std::string_view> taken;
    for (const DType dtype : group) {
      if (takes(row, samples, dtype)) taken.push_back(name_of(dtype));
    }
    if (taken.size() == group.size()) taken = {name};
    names.insert(names.end(), taken.begin(), taken.end());
  };
  add(kFloats, "floats");
  add(kIntegers, "integers");
  add(kTruth, "bool");
  add(kNibbles, "4-bit integers");
  add(kSmallFloats, "8- and 4-bit floats");
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string family_of(const std::string& implementation) {
  if (implementation == "generic" || implementation.starts_with("simd"))
    return implementation.substr(0, implementation.find(' '));
  return "oneDNN";
}

void add_kernels(const OneNode& one, std::set<std::string>& kernels) {
  InputBinding binding;
  for (size_t port = 0; port < one.inputs.size(); ++port) {
    const ValueId value = one.node().input(port);
    if (!value.valid() || one.graph.value(value).kind != ValueKind::kInput) continue;
    binding.dims[value] = one.inputs[port].dims();
    if (is_integer(one.inputs[port].dtype())) binding.values[value] = one.inputs[port];
  }
  const auto program = Program::compile(std::make_shared<Graph>(one.graph), binding);
  for (const Program::StepInfo& step : program->steps()) {
    if (step.op == one.node().op) kernels.insert(family_of(step.implementation));
  }
}

std::string kind_of(const AxisRelation& relation) {
  switch (relation.kind) {
    case AxisRelation::Kind::kFree: return "contracts";
    case AxisRelation::Kind::kGroup: return "ties groups";
    case AxisRelation::Kind::kLock: return "locks: " + relation.reason;
    case AxisRelation::Kind::kTie: break;
  }
  const auto is_block = [](const AxisRef& ref) { return ref.outer != 1 || ref.inner != 1; };
  const auto is_part = [](const AxisRef& ref) { return ref.offset != 0; };
  if (std::any_of(relation.refs.begin(), relation.refs.end(), is_block)) return "ties blocks";
  return std::any_of(relation.refs.begin(), relation.refs.end(), is_part) ? "ties parts" : "ties";
}

void add_coupling(const OpRow& row, const OneNode& one, std::set<std::string>& kinds) {
  std::vector<Dims> inputs, outputs;
  for (const Tensor& input : one.inputs) inputs.push_back(input ? input.dims() : Dims());
  for (const Tensor& output : run_node(one.node(), one.inputs)) outputs.push_back(output ? output.dims() : Dims());
  for (const AxisRelation& relation : row.axes(AxesContext(one.graph, one.node(), inputs, outputs))) {
    kinds.insert(kind_of(relation));
  }
}

}  // namespace

OpFacts facts_of(const OpRow& row) {
  const std::vector<Sample> samples = row.samples();
  std::set<std::string> kernels, kinds;
  for (const Sample& sample : samples) {
    try {
      const OneNode one = node_of(row, sample);
      add_kernels(one, kernels);
      if (row.run != nullptr) add_coupling(row, one, kinds);
    } catch (const Error&) {  // a sample that ones do not suit shows nothing
      continue;
    }
  }
  if (row.run != nullptr) kernels.insert("generic");
  return {types_of(row, samples), fmt::format("{}", fmt::join(kernels, ", ")),
          kinds.empty() ? "none" : fmt::format("{}", fmt::join(kinds, "; "))};
}

}  // namespace amct
