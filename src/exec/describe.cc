#include "exec/describe.h"

#include "ops/op_row.h"

namespace amct {

int64_t macs_of(const Graph& graph, const Node& node, const InferredTypes& types) {
  const auto extents = [&](const std::vector<ValueId>& ids) {
    std::vector<Dims> result;
    for (const ValueId id : ids) result.push_back(id.valid() ? *types.types[id.index].shape.fixed() : Dims());
    return result;
  };
  return node.row->cost(CostContext(graph, node, extents(node.inputs), extents(node.outputs))).macs;
}

int64_t bytes_moved(const CompiledStep& step) {
  int64_t bytes = 0;
  for (const std::vector<Place>* places : {&step.inputs, &step.outputs}) {
    for (const Place& place : *places) {
      if (place.dtype == DType::kUndefined) continue;
      bytes += element_count(place.dims) * static_cast<int64_t>(element_bytes(place.dtype));
    }
  }
  return bytes;
}

Program::StepInfo describe_run(const Graph& graph, const Node& node, const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& outputs) {
  Program::StepInfo info{.nodes = {node.name}, .op = node.op, .implementation = "generic"};
  const auto extents = [&](const std::vector<Tensor>& tensors) {
    std::vector<Dims> result;
    for (const Tensor& tensor : tensors) {
      result.push_back(tensor ? tensor.dims() : Dims());
      info.bytes += tensor ? static_cast<int64_t>(tensor.byte_size()) : 0;
    }
    return result;
  };
  const std::vector<Dims> in = extents(inputs);
  const std::vector<Dims> out = extents(outputs);
  if (!out.empty()) info.dims = out[0];
  info.macs = node.row->cost(CostContext(graph, node, in, out)).macs;
  return info;
}

}  // namespace amct
