// A sample of an operator row as a graph of one node, with the tensors to feed it.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "ops/infer.h"
#include "ops/op_row.h"
#include "support/tensor_makers.h"

namespace amct::testing {

struct SampleNode {
  std::string title;  // "conv.stride2_pad"
  Graph graph;
  NodeId id;
  std::vector<Tensor> inputs;  // by port; no tensor where an input is absent
  const Node& node() const { return graph.node(id); }
};

inline Graph graph_of_node(const OpRow& row, const std::vector<Tensor>& inputs, const std::vector<bool>& constant,
                           const Attrs& attrs, size_t outputs, NodeId* id) {
  Graph graph;
  std::vector<ValueId> values;
  for (size_t port = 0; port < inputs.size(); ++port) {
    const std::string name = "in" + std::to_string(port);
    if (!inputs[port])
      values.push_back(kNoValue);
    else if (constant[port])
      values.push_back(graph.add_constant(name, inputs[port]));
    else
      values.push_back(graph.add_input(name, inputs[port].type()));
  }
  std::vector<std::string> names;
  for (size_t port = 0; port < outputs; ++port) names.push_back("out" + std::to_string(port));
  *id = graph.add_node("node", row.name, &row, values, names, attrs);
  graph.set_outputs(graph.node(*id).outputs);
  return graph;
}

inline std::vector<bool> constant_ports(const Sample& sample) {
  std::vector<bool> constant;
  for (const SampleInput& input : sample.inputs) constant.push_back(input.constant);
  return constant;
}

// Random inputs follow from the names of row and sample and from `seed` alone. An `opset` is noted as the graph's own.
inline SampleNode make_sample_node(const OpRow& row, const Sample& sample, uint64_t seed = 1, int64_t opset = 0) {
  SampleNode result;
  result.title = row.name + "." + sample.name;
  std::mt19937_64 random(seed + std::hash<std::string>{}(result.title));
  for (const SampleInput& input : sample.inputs) {
    if (input.value)
      result.inputs.push_back(input.value);
    else if (input.dtype == DType::kUndefined)
      result.inputs.emplace_back();
    else
      result.inputs.push_back(random_tensor(input.dtype, input.dims, input.low, input.high, random));
  }
  result.graph = graph_of_node(row, result.inputs, constant_ports(sample), sample.attrs, sample.outputs, &result.id);
  if (opset > 0) {
    result.graph.info.opsets = {{"", opset}};
    update_types(result.graph);
  }
  return result;
}

// The values of the inputs of the graph, in its order.
inline std::vector<Tensor> feeds_of(const SampleNode& node) {
  std::vector<Tensor> feeds;
  for (const ValueId id : node.graph.inputs()) {
    const auto at = std::find(node.node().inputs.begin(), node.node().inputs.end(), id);
    feeds.push_back(node.inputs[static_cast<size_t>(at - node.node().inputs.begin())]);
  }
  return feeds;
}

inline InferContext infer_context(const Node& node, const std::vector<Tensor>& inputs) {
  std::vector<InferContext::Input> types;
  for (const Tensor& input : inputs) {
    types.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, input ? &input : nullptr});
  }
  return InferContext(node, std::move(types));
}

// Runs the plain kernel on output memory that holds `fill` bytes.
inline std::vector<Tensor> run_filled(const Node& node, const std::vector<Tensor>& inputs, int fill) {
  InferContext infer = infer_context(node, inputs);
  node.row->infer(infer);
  std::vector<TensorView> views;
  for (const Tensor& input : inputs) views.push_back(input ? input.view() : TensorView{});
  std::vector<Tensor> outputs(node.outputs.size());
  std::vector<MutableView> output_views(node.outputs.size());
  for (size_t port = 0; port < outputs.size() && node.row->timing != ShapeTiming::kFromData; ++port) {
    if (!node.outputs[port].valid()) continue;
    const auto dims = infer.outputs()[port].shape.fixed();
    if (!dims && node.row->timing == ShapeTiming::kFromBody) continue;
    if (!dims) throw Error(ErrorCode::kInternal, "the output shape is not known from concrete inputs");
    outputs[port] = Tensor::allocate(infer.outputs()[port].dtype, *dims);
    std::memset(outputs[port].mutable_data(), fill, outputs[port].bytes().size());
    output_views[port] = outputs[port].mutable_view();
  }
  RunContext context(node, std::move(views), std::move(output_views));
  node.row->run(context);
  for (size_t port = 0; port < context.allocated().size(); ++port) {
    if (context.allocated()[port]) outputs[port] = context.allocated()[port];
  }
  return outputs;
}

}  // namespace amct::testing
