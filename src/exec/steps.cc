#include "exec/steps.h"

#include "exec/graph_runner.h"
#include "kernels/index/reorder_layout.h"
#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

class RunStep : public Step {
 public:
  RunStep(const Node& node, Layout layout, const CompileOptions& options, const std::vector<Tensor>& constants)
      : node_(node), layout_(layout), threads_(options.threads) {
    if (has_subgraphs(node)) subgraphs_ = make_subgraph_programs(node, constants, options);
  }

  std::function<void()> bind(const StepIo& io) const override {
    auto graphs = subgraphs_ != nullptr ? make_graph_runner(subgraphs_) : nullptr;
    return [run = node_.row->run, graphs,
            context = RunContext(node_, io.inputs, io.outputs, threads_, layout_, graphs.get())]() mutable {
      run(context);
    };
  }
  std::string implementation() const override { return "generic"; }

 private:
  const Node& node_;
  Layout layout_;
  int threads_;
  std::shared_ptr<SubgraphPrograms> subgraphs_;
};

LayoutExtents extents_of(const Dims& dims) {
  LayoutExtents extents{dims[0], dims[1], 1};
  for (size_t axis = 2; axis < dims.size(); ++axis) extents.positions *= dims[axis];
  return extents;
}

class ReorderStep : public Step {
 public:
  ReorderStep(const Dims& dims, Layout to) : extents_(extents_of(dims)), to_(to) {}

  std::function<void()> bind(const StepIo& io) const override {
    const auto move = to_ == Layout::kChannelsLast ? channels_first_to_last : channels_last_to_first;
    return [move, extents = extents_, from = io.inputs[0].data, to = io.outputs[0].data,
            bytes = element_bytes(io.inputs[0].dtype)] { move(from, to, extents, bytes); };
  }
  std::string implementation() const override { return "reorder"; }

 private:
  LayoutExtents extents_;
  Layout to_;
};

}  // namespace

std::unique_ptr<Step> make_run_step(const Node& node, Layout layout, const CompileOptions& options,
                                    const std::vector<Tensor>& constants) {
  AMCT_CHECK(node.row->run != nullptr, "operator " + node.op + " has neither a compiled step nor a plain kernel");
  return std::make_unique<RunStep>(node, layout, options, constants);
}

std::unique_ptr<Step> make_reorder_step(const Dims& dims, Layout to) { return std::make_unique<ReorderStep>(dims, to); }

Tensor to_layout(const Tensor& tensor, Layout layout) {
  if (layout == Layout::kPlain || same_order_in_all_layouts(tensor.dims())) return tensor;
  Tensor result = Tensor::allocate(tensor.dtype(), tensor.dims());
  channels_first_to_last(tensor.view().data, result.mutable_data(), extents_of(tensor.dims()),
                         element_bytes(tensor.dtype()));
  return result;
}

bool same_order_in_all_layouts(const Dims& dims) {
  if (dims.size() < 3) return true;
  const LayoutExtents extents = extents_of(dims);
  return extents.channels == 1 || extents.positions == 1;
}

bool follows_layout(const Node& node, size_t port) {
  const InputPort* input = node.row->input_port(port);
  return input != nullptr && (input->role == Role::kActivation || input->broadcasts);
}

Layout port_layout(const Node& node, size_t port, const Dims& extents, Layout layout) {
  return extents.size() >= 3 && follows_layout(node, port) ? layout : Layout::kPlain;
}

}  // namespace amct
