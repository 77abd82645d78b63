// Types, attributes and tensors of the graph -> messages of the file format.
#pragma once

#include <string>

#include "ir/attrs.h"
#include "ir/shape.h"
#include "ir/tensor.h"

namespace amct::wire::onnx {
class AttributeProto;
class TensorProto;
class ValueInfoProto;
}  // namespace amct::wire::onnx

namespace amct::onnx_file {

// Name, type and extents; the payload is the caller's.
void encode_tensor_header(const Tensor& tensor, const std::string& name, wire::onnx::TensorProto& out);

// Graphs are the caller's: they need names from around them (encode_subgraph.h).
void encode_attr(const std::string& name, const AttrValue& value, wire::onnx::AttributeProto& out);

void encode_value_info(const std::string& name, const TensorType& type, wire::onnx::ValueInfoProto& out);

}  // namespace amct::onnx_file
