#include "data/npy.h"

#include <fmt/core.h>

#include <array>
#include <bit>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "base/files.h"
#include "data/zip.h"

namespace amct {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie in memory");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kHeaderLimit = 1 << 16;

struct TypeRow {
  DType dtype;
  std::string_view code;  // NumPy's kind and size
};
constexpr std::array kTypes = {
    TypeRow{DType::kBool, "b1"},      TypeRow{DType::kInt8, "i1"},        TypeRow{DType::kInt16, "i2"},
    TypeRow{DType::kInt32, "i4"},     TypeRow{DType::kInt64, "i8"},       TypeRow{DType::kUInt8, "u1"},
    TypeRow{DType::kUInt16, "u2"},    TypeRow{DType::kUInt32, "u4"},      TypeRow{DType::kUInt64, "u8"},
    TypeRow{DType::kFloat16, "f2"},   TypeRow{DType::kFloat32, "f4"},     TypeRow{DType::kFloat64, "f8"},
    TypeRow{DType::kComplex64, "c8"}, TypeRow{DType::kComplex128, "c16"},
};

// Reads the header's Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& label) : text_(text), label_(label) {}

  void parse(StoredArray& array) {
    bool seen_type = false, seen_order = false, seen_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        set_type(array);
        seen_type = true;
      } else if (key == "fortran_order") {
        array.column_major = truth();
        seen_order = true;
      } else if (key == "shape") {
        array.dims = shape();
        seen_shape = true;
      } else {
        fail();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!seen_type || !seen_order || !seen_shape) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw data_error("not a readable .npy header", label_, "write the array again with numpy.save");
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char wanted) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail();
  }
  std::string quoted() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail();
    std::string word(text_.substr(at_, end - at_));
    at_ = end + 1;
    return word;
  }
  bool truth() {
    skip_blanks();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return value;
    }
    fail();
  }
  Dims shape() {
    Dims dims;
    expect('(');
    while (!accept(')')) {
      skip_blanks();
      int64_t extent = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (error != std::errc{} || extent < 0) fail();
      at_ = static_cast<size_t>(end - text_.data());
      (void)accept('L');
      dims.push_back(extent);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return dims;
  }
  void set_type(StoredArray& array) {
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '[') {
      throw data_error("a structured array is not a tensor", label_, "save each field as an array of its own");
    }
    const std::string code = quoted();
    const bool marked = !code.empty() && std::string_view("<>|=").find(code.front()) != std::string_view::npos;
    for (const TypeRow& row : kTypes) {
      if (std::string_view(code).substr(marked ? 1 : 0) != row.code) continue;
      array.dtype = row.dtype;
      array.big_endian = marked && code.front() == '>';
      return;
    }
    throw data_error(fmt::format("NumPy type '{}' is not numeric or not supported", code), label_,
                     "convert the array, for example with .astype('float32')");
  }

  std::string_view text_;
  const std::string& label_;
  size_t at_ = 0;
};

// Reads the header at `start` of `file`; the array may use the file up to `end`.
void read_header(const InputFile& file, uint64_t start, uint64_t end, StoredArray& array) {
  std::array<std::byte, 12> fixed{};
  const auto not_npy = [&] { return data_error("not a .npy array", array.label); };
  if (end - start < fixed.size()) throw not_npy();
  file.read(start, fixed);
  if (std::string_view(reinterpret_cast<const char*>(fixed.data()), kMagic.size()) != kMagic) throw not_npy();
  const auto version = std::to_integer<int>(fixed[6]);
  if (version < 1 || version > 3)
    throw data_error(fmt::format(".npy format version {} is not known", version), array.label);
  const size_t length_bytes = version == 1 ? 2 : 4;
  const uint64_t length = read_little(std::span(fixed).subspan(8, length_bytes));
  const uint64_t data = 8 + length_bytes + length;
  if (length > kHeaderLimit || data > end - start) throw data_error("the .npy header is cut off", array.label);
  std::string header(length, ' ');
  file.read(start + 8 + length_bytes, std::as_writable_bytes(std::span(header)));
  HeaderParser(header, array.label).parse(array);
  array.offset = start + data;
  check_extent(array, end);
}

}  // namespace

StoredArray open_npy(const std::filesystem::path& path) {
  StoredArray array;
  array.label = path.string();
  array.file = path;
  const auto file = InputFile::open(path);
  read_header(*file, 0, file->size(), array);
  return array;
}

std::vector<StoredArray> open_npz(const std::filesystem::path& path) {
  constexpr std::string_view kSuffix = ".npy";
  std::vector<StoredArray> arrays;
  const auto file = InputFile::open(path);
  for (const ZipMember& member : list_zip(*file)) {
    if (!member.name.ends_with(kSuffix)) continue;
    StoredArray array;
    array.name = member.name.substr(0, member.name.size() - kSuffix.size());
    array.label = fmt::format("{} ({})", path.string(), array.name);
    array.file = path;
    if (member.deflated) {
      array.opened = unpack(*file, member);
      read_header(*array.opened, 0, array.opened->size(), array);
    } else {
      read_header(*file, member.offset, member.offset + member.packed_bytes, array);
    }
    arrays.push_back(std::move(array));
  }
  if (arrays.empty()) throw data_error("the archive holds no .npy array", path.string());
  return arrays;
}

Tensor read_npy(const std::filesystem::path& path) { return read_whole(open_npy(path)); }

void write_npy(const std::filesystem::path& path, const TensorView& tensor) {
  if (tensor.dtype == DType::kBFloat16) return write_npy(path, Tensor::copy_of(tensor).cast(DType::kFloat32).view());
  DType dtype = tensor.dtype;
  if (dtype == DType::kInt4) dtype = DType::kInt8;
  if (dtype == DType::kUInt4) dtype = DType::kUInt8;
  std::string_view code;
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) code = row.code;
  }
  if (code.empty()) {
    throw Error(ErrorCode::kUnsupported, fmt::format("NumPy has no type for {}", name_of(tensor.dtype)),
                {.file = path.string()});
  }
  std::string shape;
  for (const int64_t extent : tensor.dims) shape += fmt::format("{}, ", extent);
  if (tensor.dims.size() > 1) shape.resize(shape.size() - 2);
  if (tensor.dims.size() == 1) shape.resize(shape.size() - 1);
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                   element_bytes(dtype) == 1 ? '|' : '<', code, shape);
  constexpr size_t kFixedBytes = 10, kAlignment = 64;
  header.append(kAlignment - (kFixedBytes + header.size() + 1) % kAlignment, ' ').push_back('\n');
  OutputFiles files;
  auto& writer = files.add(path);
  writer.write(std::string(kMagic) + std::string("\x01\x00", 2));
  writer.write(std::string{static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)});
  writer.write(header);
  if (tensor.size() > 0) writer.write({static_cast<const std::byte*>(tensor.data), tensor.bytes()});
  files.commit();
}

}  // namespace amct
