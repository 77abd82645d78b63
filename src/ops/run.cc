#include "ops/run.h"

#include <fmt/core.h>

#include "ops/op_row.h"
#include "ops/run_graph.h"

namespace amct {

Dims memory_dims(const Dims& logical, Layout layout) {
  if (layout == Layout::kPlain || logical.size() < 3) return logical;
  Dims memory{logical[0]};
  memory.insert(memory.end(), logical.begin() + 2, logical.end());
  memory.push_back(logical[1]);
  return memory;
}

Dims logical_dims(const Dims& memory, Layout layout) {
  if (layout == Layout::kPlain || memory.size() < 3) return memory;
  Dims logical{memory[0], memory.back()};
  logical.insert(logical.end(), memory.begin() + 1, memory.end() - 1);
  return logical;
}

size_t memory_axis(size_t logical_axis, size_t rank, Layout layout) {
  if (layout == Layout::kPlain || rank < 3 || logical_axis == 0) return logical_axis;
  return logical_axis == 1 ? rank - 1 : logical_axis - 1;
}

MutableView RunContext::allocate_output(size_t port, DType dtype, Dims dims) {
  if (wants(port)) {  // planned already: the model declares the extents
    const MutableView& planned = outputs_[port];
    if (planned.dtype == dtype && planned.dims == dims) return planned;
    throw Error(ErrorCode::kInput,
                fmt::format("output {} is {} {}, and the model declares {} {}", port, name_of(dtype), to_string(dims),
                            name_of(planned.dtype), to_string(planned.dims)),
                {.node = node_.name, .op = node_.op});
  }
  if (allocated_.size() <= port) allocated_.resize(port + 1);
  allocated_[port] = Tensor::allocate(dtype, std::move(dims));
  return allocated_[port].mutable_view();
}

Tensor borrow(const TensorView& view) {
  if (!view) return {};
  return {view.dtype, view.dims, {std::shared_ptr<const void>(), static_cast<const std::byte*>(view.data)}};
}

std::vector<Tensor> RunContext::run_graph(const std::shared_ptr<const Graph>& graph,
                                          const std::vector<Tensor>& inputs) const {
  return graphs_ != nullptr ? graphs_->run(graph, inputs) : amct::run_graph(*graph, inputs, graph->outputs());
}

std::vector<Tensor> run_node(const Node& node, const std::vector<Tensor>& inputs, GraphRunner* graphs) {
  if (node.is_opaque()) {
    throw Error(ErrorCode::kUnsupported, fmt::format("operator {} cannot be run", node.op), {.node = node.name},
                "'amct ops' lists the operators that can");
  }
  AMCT_CHECK(node.row->run != nullptr, fmt::format("operator {} has no plain kernel", node.op));
  std::vector<InferContext::Input> types;
  std::vector<TensorView> views;
  for (const Tensor& input : inputs) {
    types.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, input ? &input : nullptr});
    views.push_back(input ? input.view() : TensorView{});
  }
  InferContext infer(node, std::move(types));
  node.row->infer(infer);

  const bool from_data = node.row->timing == ShapeTiming::kFromData;
  const bool may_allocate = from_data || node.row->timing == ShapeTiming::kFromBody;
  std::vector<Tensor> outputs(node.outputs.size());
  std::vector<MutableView> output_views(node.outputs.size());
  for (size_t port = 0; port < outputs.size() && !from_data; ++port) {
    if (!node.outputs[port].valid()) continue;
    const TensorType& type = infer.outputs()[port];
    const auto dims = type.shape.fixed();
    if (!dims && may_allocate) continue;
    if (!dims) {
      throw Error(ErrorCode::kUnsupported, "the output shape cannot be determined", {.node = node.name, .op = node.op});
    }
    outputs[port] = Tensor::allocate(type.dtype, *dims);
    output_views[port] = outputs[port].mutable_view();
  }
  RunContext context(node, std::move(views), std::move(output_views), 1, Layout::kPlain, graphs);
  node.row->run(context);
  for (size_t port = 0; port < context.allocated().size(); ++port) {
    if (context.allocated()[port]) outputs[port] = std::move(context.allocated()[port]);
  }
  return outputs;
}

}  // namespace amct
