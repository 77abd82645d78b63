#include "support/sample_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

#include "ir/dispatch.h"

namespace amct::testing {

Tensor sample_tensor(const SampleInput& input, uint64_t seed) {
  if (input.value) return input.value;
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(input.low, input.high);
  Tensor tensor = Tensor::allocate(input.dtype, input.dims);
  visit_numeric(input.dtype, [&]<typename T>(Tag<T>) {
    for (T& value : tensor.mutable_values<T>()) {
      if constexpr (std::is_same_v<T, bool>) {
        value = (random() & 1) != 0;
      } else if constexpr (std::is_integral_v<T>) {
        value = static_cast<T>(std::llround(uniform(random)));
      } else {
        value = static_cast<T>(static_cast<Compute<T>>(uniform(random)));
      }
    }
  });
  return tensor;
}

SampleGraph make_sample_graph(const OpRow& row, const Sample& sample, uint64_t seed, int64_t opset) {
  SampleGraph result;
  Graph& graph = result.graph;
  graph.info.opsets = {{"", opset}};
  std::vector<ValueId> inputs;
  for (size_t i = 0; i < sample.inputs.size(); ++i) {
    const SampleInput& input = sample.inputs[i];
    if (input.dtype == DType::kUndefined) {
      inputs.push_back(kNoValue);
      result.node_inputs.emplace_back();
      continue;
    }
    Tensor tensor = sample_tensor(input, seed * 1000 + i);
    const std::string name = fmt::format("in{}", i);
    if (input.constant) {
      inputs.push_back(graph.add_constant(name, tensor));
    } else {
      inputs.push_back(graph.add_input(name, tensor.type()));
      result.graph_inputs.push_back(tensor);
    }
    result.node_inputs.push_back(std::move(tensor));
  }
  std::vector<std::string> outputs;
  for (size_t i = 0; i < sample.outputs; ++i) outputs.push_back(fmt::format("out{}", i));
  result.node = graph.add_node("node", row.name, &row, std::move(inputs), outputs, sample.attrs);
  graph.set_outputs(graph.node(result.node).outputs);
  update_types(graph);
  return result;
}

}  // namespace amct::testing
