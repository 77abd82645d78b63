#include "export/onnx/encode.h"

#include <fmt/core.h>

#include "export/onnx/pieces.h"
#include "onnx_wire.pb.h"
#include "ops/onnx_types.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

// AttributeProto.type
enum Kind { kFloat = 1, kInt = 2, kString = 3, kTensor = 4, kFloats = 6, kInts = 7, kStrings = 8 };

struct AttrEncoder {
  const std::string& name;
  wire::AttributeProto& out;

  void operator()(int64_t value) const {
    out.set_i(value);
    out.set_type(kInt);
  }
  void operator()(double value) const {
    out.set_f(static_cast<float>(value));
    out.set_type(kFloat);
  }
  void operator()(const std::string& value) const {
    out.set_s(value);
    out.set_type(kString);
  }
  void operator()(const std::vector<int64_t>& values) const {
    for (const int64_t value : values) out.add_ints(value);
    out.set_type(kInts);
  }
  void operator()(const std::vector<double>& values) const {
    for (const double value : values) out.add_floats(static_cast<float>(value));
    out.set_type(kFloats);
  }
  void operator()(const std::vector<std::string>& values) const {
    for (const std::string& value : values) out.add_strings(value);
    out.set_type(kStrings);
  }
  void operator()(const Tensor& value) const {
    encode_tensor_header(value, {}, *out.mutable_t());
    out.mutable_t()->set_raw_data(pack_payload(value));
    out.set_type(kTensor);
  }
  void operator()(const std::shared_ptr<const Graph>&) const {
    internal_error(fmt::format("attribute '{}' is a graph", name));
  }
};

}  // namespace

void encode_tensor_header(const Tensor& tensor, const std::string& name, wire::TensorProto& out) {
  for (const int64_t dim : tensor.dims()) out.add_dims(dim);
  out.set_data_type(onnx_code(tensor.dtype()));
  if (!name.empty()) out.set_name(name);
}

void encode_attr(const std::string& name, const AttrValue& value, wire::AttributeProto& out) {
  out.set_name(name);
  std::visit(AttrEncoder{name, out}, value);
}

void encode_value_info(const std::string& name, const TensorType& type, wire::ValueInfoProto& out) {
  out.set_name(name);
  if (type.dtype == DType::kUndefined) return;  // the reader infers it
  auto& tensor = *out.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx_code(type.dtype));
  if (!type.shape.ranked()) return;
  tensor.mutable_shape();
  for (const Dim& dim : type.shape.dims()) {
    auto& entry = *tensor.mutable_shape()->add_dim();
    if (dim.is_fixed()) {
      entry.set_dim_value(dim.extent());
    } else if (dim.is_named()) {
      entry.set_dim_param(dim.name());
    }
  }
}

}  // namespace amct::onnx_file
