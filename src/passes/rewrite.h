// Questions and steps that many passes share. None of them changes what the graph computes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace amct {

// True if every use of `from` can be pointed at `to` without a graph output losing its name: `from` is no graph output,
// or `to` is computed and free to take over the name.
bool may_replace(const Graph& graph, ValueId from, ValueId to);

// True if nothing reads any output of the node but the first.
bool only_first_output_used(const Graph& graph, const Node& node);

// Points all uses of the node's first output at `to` and removes the node. False, and nothing done, if another output
// is used or a graph output would lose its name.
bool bypass_node(Graph& graph, NodeId id, ValueId to);

// Makes `value`, the result of a node, a constant under its old name, and removes the node if nothing else needs it.
// False, and nothing done, for a graph output.
bool make_constant(Graph& graph, ValueId value, Tensor data);

// Gives input `port` of the node the tensor `data`: in place where the constant has no other use, else as a new
// constant called `name`.
void set_constant_input(Graph& graph, NodeId id, size_t port, Tensor data, std::string_view name);

// Points input `port` of the node at `to`; the constant that it read goes if nothing else needs it.
void replace_input(Graph& graph, NodeId id, size_t port, ValueId to);

// Removes those that are constants that nothing needs.
void erase_unused_constants(Graph& graph, const std::vector<ValueId>& values);

// What a Clip limits its values to: infinite where an input is absent, nullopt where it is computed.
struct ClipBounds {
  std::optional<double> low, high;
};
ClipBounds clip_bounds(const Graph& graph, const Node& clip);

// The integers of a constant input; nullopt if it is absent or computed.
std::optional<std::vector<int64_t>> constant_ints(const Graph& graph, const Node& node, size_t port);

// True if the shapes are known in full and equal.
bool same_fixed_shape(const Shape& a, const Shape& b);

bool is_op(const Node& node, std::string_view op);  // false for an opaque node of that name

// True for operators between floats and quantized numbers. They are never computed ahead, not even on constants: the
// packed form is what a quantized model is about.
bool is_quantizer(const Node& node);

}  // namespace amct
