#include "frontends/onnx/node_decode.h"

#include <fmt/core.h>

#include <unordered_set>

#include "base/checked_math.h"
#include "onnx_wire.pb.h"
#include "ops/onnx_types.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

enum Kind {
  kUndefined,
  kFloat,
  kInt,
  kString,
  kTensor,
  kGraph,
  kFloats,
  kInts,
  kStrings,
  kTensors,
  kGraphs,
  kSparse,
  kSparses,
  kType,
  kTypes
};

// Files of the first IR versions leave the kind out: it follows from the field that is there.
int kind_of(const wire::AttributeProto& attr) {
  if (attr.has_type() && attr.type() != kUndefined) return attr.type();
  if (attr.has_f()) return kFloat;
  if (attr.has_i()) return kInt;
  if (attr.has_s()) return kString;
  if (attr.has_t()) return kTensor;
  if (attr.has_g()) return kGraph;
  if (attr.floats_size() > 0) return kFloats;
  if (attr.ints_size() > 0) return kInts;
  if (attr.strings_size() > 0) return kStrings;
  return kUndefined;
}

AttrValue decode_attr(const wire::AttributeProto& attr, TensorDecoder& tensors, const DecodeSubgraph& subgraph) {
  if (attr.has_ref_attr_name() && !attr.ref_attr_name().empty()) {
    throw Error(ErrorCode::kInput, fmt::format("attribute '{}' refers to a function's attribute", attr.name()));
  }
  switch (kind_of(attr)) {
    case kFloat: return static_cast<double>(attr.f());
    case kInt: return int64_t{attr.i()};
    case kString: return attr.s();
    case kTensor: return tensors.decode(attr.t());
    case kFloats: return std::vector<double>(attr.floats().begin(), attr.floats().end());
    case kInts: return std::vector<int64_t>(attr.ints().begin(), attr.ints().end());
    case kStrings: return std::vector<std::string>(attr.strings().begin(), attr.strings().end());
    case kGraph: return subgraph(attr.g());
    case kGraphs:
    case kTensors:
    case kSparse:
    case kSparses:
    case kType:
    case kTypes:
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("attribute '{}' is of a kind that is kept as it is", attr.name()));
    default: break;
  }
  throw Error(ErrorCode::kInput, fmt::format("attribute '{}' has no value", attr.name()));
}

class CaptureFinder {
 public:
  std::vector<std::string> names;

  void node(const wire::NodeProto& node, std::vector<std::unordered_set<std::string>>& scopes) {
    if (scopes.size() > kMaxDepth) throw Error(ErrorCode::kInput, "subgraphs are nested too deeply");
    for (const auto& attr : node.attribute()) {
      if (attr.has_g()) graph(attr.g(), scopes);
      for (const auto& inner : attr.graphs()) graph(inner, scopes);
    }
  }

 private:
  static constexpr size_t kMaxDepth = 64;

  void graph(const wire::GraphProto& graph, std::vector<std::unordered_set<std::string>>& scopes) {
    auto& scope = scopes.emplace_back();
    for (const auto& input : graph.input()) scope.insert(input.name());
    for (const auto& tensor : graph.initializer()) scope.insert(tensor.name());
    for (const auto& tensor : graph.sparse_initializer()) scope.insert(tensor.values().name());
    for (const auto& inner : graph.node()) scope.insert(inner.output().begin(), inner.output().end());
    for (const auto& inner : graph.node()) {
      for (const auto& name : inner.input()) use(name, scopes);
      node(inner, scopes);
    }
    for (const auto& output : graph.output()) use(output.name(), scopes);
    scopes.pop_back();
  }

  void use(const std::string& name, const std::vector<std::unordered_set<std::string>>& scopes) {
    if (name.empty()) return;
    for (const auto& scope : scopes) {
      if (scope.contains(name)) return;
    }
    if (seen_.insert(name).second) names.push_back(name);
  }

  std::unordered_set<std::string> seen_;
};

Dim decode_dim(const wire::TensorShapeProto::Dimension& dim, const std::string& name) {
  if (dim.has_dim_param() && !dim.dim_param().empty()) return Dim::named(dim.dim_param());
  if (!dim.has_dim_value()) return Dim();
  if (dim.dim_value() < 0) {
    throw Error(ErrorCode::kInput, fmt::format("value '{}' has the negative dimension {}", name, dim.dim_value()), {},
                "a dimension that is open has a name or no value");
  }
  return Dim(dim.dim_value());
}

}  // namespace

Attrs decode_attrs(const wire::NodeProto& node, TensorDecoder& tensors, const DecodeSubgraph& subgraph) {
  Attrs attrs;
  for (const auto& attr : node.attribute()) {
    if (attrs.has(attr.name())) {
      throw Error(ErrorCode::kInput, fmt::format("attribute '{}' is there twice", attr.name()));
    }
    attrs.set(attr.name(), decode_attr(attr, tensors, subgraph));
  }
  return attrs;
}

TensorType decode_type(const wire::TypeProto& type, const std::string& name) {
  TensorType result;
  if (!type.has_tensor_type()) return result;
  const auto& tensor = type.tensor_type();
  if (tensor.elem_type() != 0) {
    const auto dtype = dtype_from_onnx(tensor.elem_type());
    if (!dtype) {
      throw Error(ErrorCode::kInput,
                  fmt::format("value '{}' has the undefined element type {}", name, tensor.elem_type()));
    }
    result.dtype = *dtype;
  }
  if (!tensor.has_shape()) return result;
  std::vector<Dim> dims;
  Dims fixed;
  for (const auto& dim : tensor.shape().dim()) {
    dims.push_back(decode_dim(dim, name));
    if (dims.back().is_fixed()) fixed.push_back(dims.back().extent());
  }
  const auto count = checked_product(fixed);
  if (!count || !checked_mul(*count, 16)) {
    throw Error(ErrorCode::kInput, fmt::format("value '{}' has extents {} beyond any memory", name, to_string(fixed)));
  }
  result.shape = Shape(std::move(dims));
  return result;
}

std::string own_name(const wire::NodeProto& node) {
  if (!node.name().empty()) return node.name();
  for (const auto& output : node.output()) {
    if (!output.empty()) return output;
  }
  return node.op_type().empty() ? "node" : node.op_type();
}

bool has_subgraph(const wire::NodeProto& node) {
  for (const auto& attr : node.attribute()) {
    if (attr.has_g() || attr.graphs_size() > 0) return true;
  }
  return false;
}

std::vector<std::string> captured_names(const wire::NodeProto& node) {
  CaptureFinder finder;
  std::vector<std::unordered_set<std::string>> scopes;
  finder.node(node, scopes);
  return std::move(finder.names);
}

}  // namespace amct::onnx_file
