// TensorProto by a scan of the wire format (protobuf.dev/programming-guides/encoding): fields are found in the file,
// packed fixed-width elements and raw data stay there; elements that are stored as varints are unpacked to a temporary
// file.
#include <fmt/core.h>

#include <optional>
#include <span>
#include <vector>

#include "base/byte_stream.h"
#include "base/files.h"
#include "data/raw_arrays.h"

namespace amct {
namespace {

enum Field : uint64_t {
  kDims = 1,
  kDataType = 2,
  kSegment = 3,
  kFloatData = 4,
  kInt32Data = 5,
  kStringData = 6,
  kInt64Data = 7,
  kName = 8,
  kRawData = 9,
  kDoubleData = 10,
  kUint64Data = 11,
  kExternalData = 13,
  kDataLocation = 14,
};
enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// onnx.TensorProto.DataType
std::optional<DType> type_of(uint64_t code) {
  switch (code) {
    case 1: return DType::kFloat32;
    case 2: return DType::kUInt8;
    case 3: return DType::kInt8;
    case 4: return DType::kUInt16;
    case 5: return DType::kInt16;
    case 6: return DType::kInt32;
    case 7: return DType::kInt64;
    case 9: return DType::kBool;
    case 10: return DType::kFloat16;
    case 11: return DType::kFloat64;
    case 12: return DType::kUInt32;
    case 13: return DType::kUInt64;
    case 16: return DType::kBFloat16;
    default: return std::nullopt;
  }
}

// The field that holds elements of this type when raw_data does not.
Field typed_field(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return kFloatData;
    case DType::kFloat64: return kDoubleData;
    case DType::kInt64: return kInt64Data;
    case DType::kUInt32:
    case DType::kUInt64: return kUint64Data;
    default: return kInt32Data;
  }
}

class Scanner {
 public:
  Scanner(std::span<const std::byte> bytes, const std::string& label) : bytes_(bytes), label_(label) {}
  bool done() const { return at_ == bytes_.size(); }
  size_t position() const { return at_; }
  uint64_t varint() {
    auto left = bytes_.subspan(at_);
    const auto value = take_varint(left);
    if (!value) fail();
    at_ = bytes_.size() - left.size();
    return *value;
  }
  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes_.size() - at_) fail();
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }
  [[noreturn]] void fail() const { throw data_error("not a readable TensorProto", label_); }

 private:
  std::span<const std::byte> bytes_;
  const std::string& label_;
  size_t at_ = 0;
};

struct Contents {
  uint64_t type = 0;
  std::vector<std::byte> unpacked;  // elements that arrived one by one or as varints, 8 bytes each
  std::optional<uint64_t> offset;   // or where they lie in one piece
  uint64_t bytes = 0;
  uint64_t field = 0;  // that they came in
};

// Varints, packed or one by one.
template <typename F>
void for_each_varint(Scanner& scanner, uint64_t wire, const std::string& label, F&& f) {
  if (wire == kVarint) return f(scanner.varint());
  if (wire != kBytes) scanner.fail();
  Scanner packed(scanner.take(scanner.varint()), label);
  while (!packed.done()) f(packed.varint());
}

void read_elements(Scanner& scanner, uint64_t field, uint64_t wire, const std::string& label, Contents& contents) {
  if (contents.field != 0 && contents.field != field) scanner.fail();
  const bool again = contents.field == field;
  contents.field = field;
  if (field == kInt32Data || field == kInt64Data || field == kUint64Data) {
    for_each_varint(scanner, wire, label, [&](uint64_t value) {
      for (int i = 0; i < 8; ++i) contents.unpacked.push_back(static_cast<std::byte>(value >> (8 * i)));
    });
    return;
  }
  if (wire != kBytes || again) scanner.fail();
  contents.bytes = scanner.varint();
  contents.offset = scanner.position();
  scanner.take(contents.bytes);
}

Contents scan(Scanner& scanner, StoredArray& array) {
  Contents contents;
  while (!scanner.done()) {
    const uint64_t tag = scanner.varint(), field = tag >> 3, wire = tag & 7;
    switch (field) {
      case kDims:
        for_each_varint(scanner, wire, array.label,
                        [&](uint64_t value) { array.dims.push_back(static_cast<int64_t>(value)); });
        break;
      case kDataType:
        if (wire != kVarint) scanner.fail();
        contents.type = scanner.varint();
        break;
      case kName: {
        if (wire != kBytes) scanner.fail();
        const auto name = scanner.take(scanner.varint());
        array.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
        break;
      }
      case kFloatData:
      case kInt32Data:
      case kInt64Data:
      case kRawData:
      case kDoubleData:
      case kUint64Data: read_elements(scanner, field, wire, array.label, contents); break;
      case kSegment:
      case kStringData:
      case kExternalData:
        throw data_error("strings, segments and external data are not supported in a TensorProto", array.label,
                         "save the array as .npy");
      default:
        if (wire == kVarint)
          scanner.varint();
        else if (wire == kFixed64)
          scanner.take(8);
        else if (wire == kBytes)
          scanner.take(scanner.varint());
        else if (wire == kFixed32)
          scanner.take(4);
        else
          scanner.fail();
    }
  }
  return contents;
}

}  // namespace

StoredArray open_tensor_proto(const std::filesystem::path& path) {
  StoredArray array;
  array.label = path.string();
  array.file = path;
  const auto file = MappedFile::open(path);
  Scanner scanner(file->bytes(), array.label);
  const Contents contents = scan(scanner, array);
  const auto dtype = type_of(contents.type);
  if (!dtype) throw data_error(fmt::format("TensorProto type {} is not supported", contents.type), array.label);
  array.dtype = *dtype;
  if (contents.field != kRawData && contents.field != 0 && contents.field != typed_field(*dtype)) scanner.fail();
  uint64_t end = contents.bytes;
  if (contents.offset) {
    array.offset = *contents.offset;
    end += array.offset;
    check_extent(array, end);
    if (static_cast<uint64_t>(element_count(array.dims)) * element_bytes(*dtype) != contents.bytes) scanner.fail();
    return array;
  }
  const size_t width = element_bytes(*dtype), count = contents.unpacked.size() / 8;
  std::vector<std::byte> elements;
  elements.reserve(count * width);
  for (size_t i = 0; i < count; ++i) {
    const auto first = contents.unpacked.begin() + static_cast<std::ptrdiff_t>(8 * i);
    elements.insert(elements.end(), first, first + static_cast<std::ptrdiff_t>(width));
  }
  check_extent(array, elements.size());
  if (static_cast<uint64_t>(element_count(array.dims)) != count) scanner.fail();
  auto unpacked = InputFile::temporary(array.label);
  unpacked->append(elements);
  array.opened = std::move(unpacked);
  return array;
}

}  // namespace amct
