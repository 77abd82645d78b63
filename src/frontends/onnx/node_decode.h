// NodeProto and ValueInfoProto in terms of the graph: attributes, types, and what a node reads from around it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "frontends/onnx/tensor_decode.h"
#include "ir/attrs.h"
#include "ir/shape.h"

namespace amct::wire::onnx {
class GraphProto;
class NodeProto;
class TypeProto;
}  // namespace amct::wire::onnx

namespace amct::onnx_file {

using DecodeSubgraph = std::function<std::shared_ptr<const Graph>(const wire::onnx::GraphProto&)>;

// The node's attributes; graphs among them through `subgraph`. Throws Error(kUnsupported) naming an attribute of a kind
// that no operator row takes (types, lists of graphs or tensors), kInput on a faulty one.
Attrs decode_attrs(const wire::onnx::NodeProto& node, TensorDecoder& tensors, const DecodeSubgraph& subgraph);

// The tensor type of a declared value; undefined for sequences, optionals and maps. `name` is for messages.
// Throws Error(kInput) on negative dimensions and on sizes beyond any memory.
TensorType decode_type(const wire::onnx::TypeProto& type, const std::string& name);

// The name of a node, which may have none: that of its first output then, else its operator's.
std::string own_name(const wire::onnx::NodeProto& node);

bool has_subgraph(const wire::onnx::NodeProto& node);

// Names that the node's subgraphs use and do not define, in order of first use. Throws Error(kInput) if subgraphs are
// nested deeper than any real model's.
std::vector<std::string> captured_names(const wire::onnx::NodeProto& node);

}  // namespace amct::onnx_file
