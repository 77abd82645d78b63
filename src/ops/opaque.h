// What a node of an operator that no row knows keeps of its file, as attributes.
#pragma once

#include <string_view>

namespace amct {

inline constexpr std::string_view kOpaqueBytes = "onnx.node_bytes";  // its serialized form
// Names that its subgraphs read from the graph around them: the node's last inputs, in this order.
inline constexpr std::string_view kOpaqueCaptures = "onnx.captures";
// The opset that its form is of, where it is not the graph's (it came from a function with imports of its own).
inline constexpr std::string_view kOpaqueOpset = "onnx.opset";
inline constexpr std::string_view kOpaqueReason = "onnx.reason";  // why it is opaque, as a clause

}  // namespace amct
