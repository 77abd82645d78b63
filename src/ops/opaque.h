// What a node of an operator that no row knows keeps of its file, as attributes.
#pragma once

#include <string_view>

namespace amct {

inline constexpr std::string_view kOpaqueBytes = "onnx.node_bytes";  // its serialized form
// Names that its subgraphs read from the graph around them: the node's last inputs, in this order.
inline constexpr std::string_view kOpaqueCaptures = "onnx.captures";
inline constexpr std::string_view kOpaqueReason = "onnx.reason";  // why it is opaque, as a clause

}  // namespace amct
