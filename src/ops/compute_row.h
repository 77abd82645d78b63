// What the compute rows (convolutions, matrix products, pools) share: checks, quantization clauses, export of
// attributes, and the way from a oneDNN kernel to a step.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/dnnl/kernel.h"
#include "ops/op_row.h"

namespace amct {

// The type of output 0: int32 sums for integer inputs, else the input's. Fails on types that are not computed with.
DType compute_output_type(const InferContext& c);

// Fails where weights or bias of a float layer are of another type than its input. (Those of the integer variants are
// looked at when they are packed.)
void expect_operands_of_input_type(const InferContext& c);

// Export for rows with attributes that ONNX lacks: emits without `x_offset` and `weight_layout`, and refuses a node
// that cannot be said without them.
void export_compute(ExportContext& c);

// "" if the value is constant, else the clause that says it is not.
std::string check_constant(const Graph& graph, const Node& node, size_t port, const char* what);

// Makes the step of a kernel. `make` is called with the post-operations of the offered epilogues, first with additions
// in place of their operand, then out of place, and returns null where it has no fast kernel. `ports` are the node's
// inputs in the order that the kernel binds them.
using MakeKernel = std::function<std::unique_ptr<dnn::Kernel>(const std::vector<dnn::PostOp>&)>;
std::unique_ptr<Step> lower_kernel(const LowerContext& c, std::vector<size_t> ports, const MakeKernel& make);

// An activation port as a kernel sees it.
inline dnn::Operand operand_of(const LowerContext::Port& port) {
  return {port.dims, port.layout == Layout::kChannelsLast};
}
// The constant of a port, or no tensor.
inline Tensor constant_of(const LowerContext& c, size_t port) {
  return c.has(port) && c.input(port).constant != nullptr ? *c.input(port).constant : Tensor();
}

}  // namespace amct
