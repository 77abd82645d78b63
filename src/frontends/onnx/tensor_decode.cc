#include "frontends/onnx/tensor_decode.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/checked_math.h"
#include "onnx_wire.pb.h"
#include "ops/onnx_types.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

constexpr int kExternal = 1;
// A few bytes of a sparse tensor can ask for any memory: it may be so large, or so much larger than what it holds.
constexpr int64_t kMaxDenseElements = int64_t{1} << 22;
constexpr int64_t kMaxSparsity = 4096;
constexpr uint64_t kMaxRestored = 8;  // times the file: a node within a node may be restored more than once

[[noreturn]] void fault(std::string message, std::string hint = {}) {
  throw Error(ErrorCode::kInput, std::move(message), {}, std::move(hint));
}

// Elements of the extents, when elements and bytes are numbers that a machine can hold.
int64_t checked_count(const Dims& dims, DType dtype) {
  const auto count = checked_product(dims);
  if (!count || !checked_mul(*count, static_cast<int64_t>(std::max<size_t>(element_bytes(dtype), 8)))) {
    fault(fmt::format("extents {} are negative or beyond any memory", to_string(dims)));
  }
  return *count;
}

int64_t stored_bytes(DType dtype, int64_t count) {
  return bit_width(dtype) == 4 ? count / 2 + count % 2 : count * static_cast<int64_t>(element_bytes(dtype));
}

void check_size(const Dims& dims, DType dtype, int64_t expected, uint64_t found, std::string_view unit) {
  if (static_cast<uint64_t>(expected) == found) return;
  fault(fmt::format("{} of extents {} needs {} {}, the file holds {}", name_of(dtype), to_string(dims), expected, unit,
                    found));
}

Tensor unpack_nibbles(DType dtype, const Dims& dims, Bytes packed) {
  Tensor result = Tensor::allocate(dtype, dims);
  const auto count = static_cast<size_t>(result.size());
  auto* out = reinterpret_cast<uint8_t*>(result.mutable_data());
  for (size_t i = 0; i < count; ++i) {
    const auto nibble = static_cast<uint8_t>((static_cast<uint8_t>(packed[i / 2]) >> (i % 2 == 0 ? 0 : 4)) & 0xf);
    const bool negative = dtype == DType::kInt4 && nibble >= 8;
    out[i] = negative ? static_cast<uint8_t>(nibble | 0xf0) : nibble;
  }
  return result;
}

// Bytes as the file stores them -> a tensor; in place, at whatever address, when `owner` is given.
Tensor from_raw(DType dtype, const Dims& dims, Bytes bytes, const std::shared_ptr<const MappedFile>& owner) {
  if (bit_width(dtype) == 4) return unpack_nibbles(dtype, dims, bytes);
  if (dtype == DType::kBool) {  // any byte but 0 and 1 would be no bool in C++
    Tensor result = Tensor::allocate(dtype, dims);
    std::transform(bytes.begin(), bytes.end(), result.mutable_data(),
                   [](std::byte b) { return b == std::byte{0} ? b : std::byte{1}; });
    return result;
  }
  if (owner != nullptr) return Tensor(dtype, dims, std::shared_ptr<const std::byte>(owner, bytes.data()));
  return Tensor::copy_of(dtype, dims, bytes);
}

// A typed repeated field whose entries become elements of type To (two entries an element for complex types).
template <typename To, typename List>
Tensor from_list(DType dtype, const Dims& dims, int64_t count, const List& list, int64_t entries_per_element = 1) {
  check_size(dims, dtype, count * entries_per_element, static_cast<uint64_t>(list.size()), "numbers");
  Tensor result = Tensor::allocate(dtype, dims);
  auto* out = reinterpret_cast<To*>(result.mutable_data());
  std::transform(list.begin(), list.end(), out, [](auto entry) { return static_cast<To>(entry); });
  return result;
}

Tensor from_int32_list(DType dtype, const Dims& dims, int64_t count, const wire::TensorProto& proto) {
  const auto& list = proto.int32_data();
  if (bit_width(dtype) == 4) {  // two elements an entry
    check_size(dims, dtype, stored_bytes(dtype, count), static_cast<uint64_t>(list.size()), "numbers");
    std::vector<std::byte> packed(static_cast<size_t>(list.size()));
    std::transform(list.begin(), list.end(), packed.begin(),
                   [](int32_t entry) { return static_cast<std::byte>(entry); });
    return unpack_nibbles(dtype, dims, packed);
  }
  if (dtype == DType::kBool) {
    check_size(dims, dtype, count, static_cast<uint64_t>(list.size()), "numbers");
    Tensor result = Tensor::allocate(dtype, dims);
    std::transform(list.begin(), list.end(), result.mutable_data(),
                   [](int32_t entry) { return static_cast<std::byte>(entry != 0); });
    return result;
  }
  switch (element_bytes(dtype)) {
    case 1: return from_list<uint8_t>(dtype, dims, count, list);
    case 2: return from_list<uint16_t>(dtype, dims, count, list);
    default: return from_list<int32_t>(dtype, dims, count, list);
  }
}

Tensor from_typed_lists(DType dtype, const Dims& dims, int64_t count, const wire::TensorProto& proto) {
  switch (dtype) {
    case DType::kFloat32: return from_list<float>(dtype, dims, count, proto.float_data());
    case DType::kComplex64: return from_list<float>(dtype, dims, count, proto.float_data(), 2);
    case DType::kFloat64: return from_list<double>(dtype, dims, count, proto.double_data());
    case DType::kComplex128: return from_list<double>(dtype, dims, count, proto.double_data(), 2);
    case DType::kInt64: return from_list<int64_t>(dtype, dims, count, proto.int64_data());
    case DType::kUInt32: return from_list<uint32_t>(dtype, dims, count, proto.uint64_data());
    case DType::kUInt64: return from_list<uint64_t>(dtype, dims, count, proto.uint64_data());
    default: return from_int32_list(dtype, dims, count, proto);
  }
}

uint64_t external_number(const std::string& key, const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fault(fmt::format("external data {} '{}' is not a number", key, text));
  }
  return value;
}

bool is_external(const wire::TensorProto& proto) { return proto.data_location() == kExternal; }

// Calls `f` for every tensor in the attributes of a node, those of its subgraphs included.
template <typename F>
void each_tensor(wire::NodeProto& node, const F& f);

template <typename F>
void each_tensor(wire::SparseTensorProto& sparse, const F& f) {
  if (sparse.has_values()) f(*sparse.mutable_values());
  if (sparse.has_indices()) f(*sparse.mutable_indices());
}

template <typename F>
void each_tensor(wire::GraphProto& graph, const F& f) {
  for (auto& tensor : *graph.mutable_initializer()) f(tensor);
  for (auto& sparse : *graph.mutable_sparse_initializer()) each_tensor(sparse, f);
  for (auto& node : *graph.mutable_node()) each_tensor(node, f);
}

template <typename F>
void each_tensor(wire::NodeProto& node, const F& f) {
  for (auto& attr : *node.mutable_attribute()) {
    if (attr.has_t()) f(*attr.mutable_t());
    if (attr.has_sparse_tensor()) each_tensor(*attr.mutable_sparse_tensor(), f);
    if (attr.has_g()) each_tensor(*attr.mutable_g(), f);
    for (auto& tensor : *attr.mutable_tensors()) f(tensor);
    for (auto& sparse : *attr.mutable_sparse_tensors()) each_tensor(sparse, f);
    for (auto& graph : *attr.mutable_graphs()) each_tensor(graph, f);
  }
}

}  // namespace

bool refers_to_other_files(const wire::NodeProto& node) {
  bool refers = false;
  wire::NodeProto copy = node;
  each_tensor(copy, [&](const wire::TensorProto& tensor) { refers = refers || is_external(tensor); });
  return refers;
}

std::shared_ptr<const MappedFile> TensorDecoder::external_file(const std::string& location) {
  const auto known = external_files_.find(location);
  if (known != external_files_.end()) return known->second;
  const std::filesystem::path relative(location);
  const bool leaves = std::any_of(relative.begin(), relative.end(), [](const auto& part) { return part == ".."; });
  if (location.empty() || relative.is_absolute() || leaves || location.find('\0') != std::string::npos) {
    fault(fmt::format("external data '{}' is outside the folder of the model", location),
          "keep the data file beside the model");
  }
  std::error_code error;
  const auto root = std::filesystem::canonical(folder_.empty() ? "." : folder_, error);
  const auto target = error ? std::filesystem::path() : std::filesystem::canonical(root / relative, error);
  if (error) {
    fault(fmt::format("external data file '{}' is missing", location), "keep the data file beside the model");
  }
  const auto [root_end, ignored] = std::mismatch(root.begin(), root.end(), target.begin(), target.end());
  if (root_end != root.end()) {
    fault(fmt::format("external data '{}' leads out of the folder of the model", location),
          "replace the link by the file");
  }
  auto file = MappedFile::open(target);
  external_bytes_ += file->bytes().size();
  return external_files_[location] = std::move(file);
}

TensorDecoder::Place TensorDecoder::external(const wire::TensorProto& proto) {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = external_number("offset", entry.value());
    if (entry.key() == "length") length = external_number("length", entry.value());
  }
  if (folder_.empty() && file_ == nullptr) fault("its data is in another file, which is not to be had here");
  auto file = external_file(location);
  const uint64_t size = file->bytes().size();
  if (offset > size || (length && *length > size - offset)) {
    fault(fmt::format("external data at offset {} of length {} is beyond '{}', which has {} bytes", offset,
                      length ? fmt::format("{}", *length) : "'the rest'", location, size),
          "the data file is truncated or of another model");
  }
  return {file->bytes().subspan(offset, length.value_or(size - offset)), file};
}

Tensor TensorDecoder::decode_checked(const wire::TensorProto& proto) {
  const auto dtype = dtype_from_onnx(proto.data_type());
  if (!dtype) fault(fmt::format("element type {} is not defined", proto.data_type()));
  if (*dtype == DType::kString) throw Error(ErrorCode::kUnsupported, "strings are not computed with");
  const Dims dims(proto.dims().begin(), proto.dims().end());
  const int64_t count = checked_count(dims, *dtype);
  if (proto.has_segment()) throw Error(ErrorCode::kUnsupported, "data in segments is not supported");

  Place place;
  if (is_external(proto)) {
    place = external(proto);
  } else if (proto.has_mapped_payload() && proto.mapped_payload() < payloads_.size()) {
    place = {payloads_[proto.mapped_payload()], file_};
  } else if (proto.has_raw_data()) {
    place = {std::as_bytes(std::span(proto.raw_data())), nullptr};
  } else {
    return from_typed_lists(*dtype, dims, count, proto);
  }
  check_size(dims, *dtype, stored_bytes(*dtype, count), place.bytes.size(), "bytes");
  return from_raw(*dtype, dims, place.bytes, place.file);
}

Tensor TensorDecoder::decode(const wire::TensorProto& proto) {
  try {
    return decode_checked(proto);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("tensor '{}': {}", proto.name(), error.message()), error.where(),
                error.hint());
  }
}

Tensor TensorDecoder::decode(const wire::SparseTensorProto& proto) {
  const std::string& name = proto.values().name();
  const Tensor values = decode(proto.values());
  const Tensor indices = decode(proto.indices());
  const Dims dims(proto.dims().begin(), proto.dims().end());
  const auto bad = [&](std::string_view what) { fault(fmt::format("sparse tensor '{}': {}", name, what)); };
  const int64_t count = checked_count(dims, values.dtype());
  const bool linear = indices.rank() == 1;
  if (values.rank() != 1 || indices.dtype() != DType::kInt64 || indices.rank() == 0 || indices.rank() > 2 ||
      indices.dims()[0] != values.size() || (!linear && indices.dims()[1] != static_cast<int64_t>(dims.size()))) {
    bad("values and indices do not fit each other");
  }
  if (count > kMaxDenseElements && count / kMaxSparsity > values.size()) bad("too large to be kept dense");
  Tensor result = Tensor::allocate(values.dtype(), dims);
  std::byte* out = result.mutable_data();
  const size_t element = element_bytes(values.dtype());
  std::memset(out, 0, result.bytes().size());
  const auto index = indices.values<int64_t>();
  for (int64_t i = 0; i < values.size(); ++i) {
    int64_t at = linear ? index[static_cast<size_t>(i)] : 0;
    for (size_t axis = 0; !linear && axis < dims.size(); ++axis) {
      const int64_t step = index[static_cast<size_t>(i) * dims.size() + axis];
      if (step < 0 || step >= dims[axis]) bad("an index is out of range");
      at = at * dims[axis] + step;
    }
    if (at < 0 || at >= count) bad("an index is out of range");
    std::memcpy(out + static_cast<size_t>(at) * element, values.bytes().data() + static_cast<size_t>(i) * element,
                element);
  }
  return result;
}

void TensorDecoder::restore_payloads(wire::NodeProto& node) {
  each_tensor(node, [this](wire::TensorProto& tensor) { restore_payload(tensor); });
}

void TensorDecoder::restore_payload(wire::TensorProto& tensor) {
  Bytes bytes;
  if (tensor.has_mapped_payload() && tensor.mapped_payload() < payloads_.size()) {
    bytes = payloads_[tensor.mapped_payload()];
  } else if (is_external(tensor)) {
    bytes = external(tensor).bytes;
  } else {
    return tensor.clear_mapped_payload();
  }
  restored_ += bytes.size();
  if (restored_ / kMaxRestored > file_->bytes().size() + external_bytes_)
    fault("nodes share payloads, which no exporter makes");
  tensor.set_raw_data(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  tensor.clear_mapped_payload();
  tensor.clear_external_data();
  tensor.clear_data_location();
}

}  // namespace amct::onnx_file
