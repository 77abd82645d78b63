// Helpers of the tests of data movement: one node on tensors, its relations, and the same node on channels-last memory.
#pragma once

#include <gtest/gtest.h>

#include <numeric>

#include "ops/movement.h"
#include "support/errors.h"
#include "support/tensor_makers.h"
#include "support/tensors.h"

namespace amct::testing {

// A graph of one node whose inputs are constants (absent where the tensor is).
struct OneNode {
  Graph graph;
  NodeId id;
  const Node& node() const { return graph.node(id); }
};

inline OneNode one_node(std::string_view op, const std::vector<Tensor>& inputs, Attrs attrs = {}, size_t outputs = 1) {
  OneNode one;
  std::vector<ValueId> values;
  for (const Tensor& input : inputs) values.push_back(input ? one.graph.add_constant("c", input) : kNoValue);
  std::vector<std::string> names;
  for (size_t i = 0; i < outputs; ++i) names.push_back("out" + std::to_string(i));
  one.id = one.graph.add_node("node", op, &op_table().get(op), values, names, std::move(attrs));
  return one;
}

inline std::vector<Tensor> run_all(std::string_view op, const std::vector<Tensor>& inputs, Attrs attrs = {},
                                   size_t outputs = 1) {
  const OneNode one = one_node(op, inputs, std::move(attrs), outputs);
  return run_node(one.node(), inputs);
}

inline Tensor run_op(std::string_view op, const std::vector<Tensor>& inputs, Attrs attrs = {}) {
  return run_all(op, inputs, std::move(attrs)).at(0);
}

inline Tensor floats(Dims dims, const std::vector<float>& values) { return Tensor::of<float>(std::move(dims), values); }

// 0, 1, 2, … : every element tells where it came from.
inline Tensor iota(Dims dims, DType dtype = DType::kFloat32) {
  std::vector<int64_t> values(static_cast<size_t>(element_count(dims)));
  std::iota(values.begin(), values.end(), 0);
  return Tensor::of<int64_t>(std::move(dims), values).cast(dtype);
}

template <typename T>
std::vector<T> values_of(const Tensor& tensor) {
  const auto values = tensor.values<T>();
  return {values.begin(), values.end()};
}

// The output shape of symbolic inputs; `known` are their values where they have one.
inline Shape infer_shape(std::string_view op, const std::vector<Shape>& shapes, const std::vector<Tensor>& known,
                         Attrs attrs = {}, size_t port = 0, size_t outputs = 1) {
  const OneNode one = one_node(op, {}, std::move(attrs), outputs);
  std::vector<InferContext::Input> inputs;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Tensor* value = i < known.size() && known[i] ? &known[i] : nullptr;
    inputs.push_back({true, {value ? value->dtype() : DType::kFloat32, shapes[i]}, value});
  }
  InferContext context(one.node(), inputs);
  one.node().row->infer(context);
  return context.outputs()[port].shape;
}

// The relations of a node with concrete inputs.
inline std::vector<AxisRelation> relations_of(std::string_view op, const std::vector<Tensor>& inputs, Attrs attrs = {},
                                              size_t outputs = 1) {
  const OneNode one = one_node(op, inputs, std::move(attrs), outputs);
  std::vector<Dims> in, out;
  for (const Tensor& input : inputs) in.push_back(input ? input.dims() : Dims());
  for (const Tensor& output : run_node(one.node(), inputs)) out.push_back(output.dims());
  return one.node().row->axes(AxesContext(one.graph, one.node(), in, out));
}

// Runs a row of LayoutRule::kFollow on channels-last memory (the `images` first inputs) and compares with plain memory.
inline void expect_follows_layout(std::string_view op, const std::vector<Tensor>& inputs, Attrs attrs = {},
                                  size_t images = 1, size_t outputs = 1) {
  const OneNode one = one_node(op, inputs, std::move(attrs), outputs);
  ASSERT_EQ(one.node().row->layout, LayoutRule::kFollow);
  const std::vector<Tensor> plain = run_node(one.node(), inputs);
  std::vector<Tensor> memory, results;
  std::vector<TensorView> in;
  std::vector<MutableView> out;
  for (size_t i = 0; i < inputs.size(); ++i) memory.push_back(i < images ? to_channels_last(inputs[i]) : inputs[i]);
  for (const Tensor& tensor : memory) in.push_back(tensor ? tensor.view() : TensorView{});
  for (const Tensor& tensor : plain) {
    results.push_back(Tensor::allocate(tensor.dtype(), memory_dims(tensor.dims(), Layout::kChannelsLast)));
  }
  for (Tensor& tensor : results) out.push_back(tensor.mutable_view());
  RunContext context(one.node(), in, out, 1, Layout::kChannelsLast);
  one.node().row->run(context);
  for (size_t i = 0; i < plain.size(); ++i) {
    const std::vector<double> expected = to_channels_last(plain[i]).to_doubles();
    const std::vector<double> actual = results[i].to_doubles();
    for (size_t k = 0; k < expected.size(); ++k) ASSERT_NEAR(actual[k], expected[k], 1e-5) << op << " element " << k;
  }
}

}  // namespace amct::testing
