// What the rows of control flow share: types of subgraphs, import, export, and handing results over.
//
// A row promises types for every run, while the values that a body hands from turn to turn may change theirs. So the
// types of a subgraph are inferred for those at hand and not read from the file, and those of a loop are widened until
// they hold for every turn; what is not known then, the run allocates (ShapeTiming::kFromBody).
#pragma once

#include <string>
#include <vector>

#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {

std::shared_ptr<const Graph> subgraph_attr(const Node& node, std::string_view name);

// The input of a rule as a subgraph sees it.
InferContext::Input input_of(const InferContext& c, size_t port);

// Types and known values of the outputs of `graph` for inputs of these types, in the order of graph.inputs(). An
// element type that is not known is the one that the subgraph declares.
struct SubgraphTypes {
  std::vector<TensorType> types;
  std::vector<Tensor> values;
};
SubgraphTypes infer_subgraph(const Graph& graph, const std::vector<InferContext::Input>& inputs);

// The common description of two shapes: dims that differ are unknown, and so is the rank if that differs.
Shape join(const Shape& a, const Shape& b);

// The outputs of a body that runs again and again. Inputs [first_in, first_in + count) are values that a turn hands to
// the next, by outputs [first_out, first_out + count). Their shapes are generalised until they hold for every turn:
// afterwards `inputs` has these types. A carried value that changes its element type is a fault.
SubgraphTypes infer_turns(const InferContext& c, const Graph& body, std::vector<InferContext::Input>& inputs,
                          size_t first_in, size_t first_out, size_t count);

// Fails unless the subgraph has these numbers of inputs and outputs.
void check_ports(const InferContext& c, const Graph& graph, std::string_view attr, size_t inputs, size_t outputs);

// The captured inputs, ready to be handed to a subgraph.
void append_captures(const RunContext& c, std::vector<Tensor>& inputs);

// Copies `result` to output `port`, if it is wanted; allocates it if its extents were not known.
void give_output(RunContext& c, size_t port, const TensorView& result);

// Throws Error(kInput) unless `part`, one of those that output `port` is collected from, has the type of the others.
void check_part(const RunContext& c, size_t port, DType dtype, const Dims& dims, const Tensor& part);

// One element, or as many as `dims` has.
Tensor bool_tensor(bool value, const Dims& dims = {});

// The value of a condition or trip count: one element. `what` is for messages.
bool single_bool(const RunContext& c, const TensorView& view, std::string_view what);
int64_t single_int(const RunContext& c, const TensorView& view, std::string_view what);

// Adds the captures as last inputs, after at least `formal` others, and their number as attribute; takes both off.
void import_control_flow(ImportContext& c, size_t formal);
void export_control_flow(ExportContext& c);

// Every axis that goes in or comes out is locked.
std::vector<AxisRelation> axes_of_control_flow(const AxesContext& c);

}  // namespace amct
