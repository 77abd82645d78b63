#include "data/raw_arrays.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/checked_math.h"

namespace amct {
namespace {

constexpr size_t kIdxFixedBytes = 4;

std::optional<DType> idx_type(uint64_t code) {
  switch (code) {
    case 0x08: return DType::kUInt8;
    case 0x09: return DType::kInt8;
    case 0x0b: return DType::kInt16;
    case 0x0c: return DType::kInt32;
    case 0x0d: return DType::kFloat32;
    case 0x0e: return DType::kFloat64;
    default: return std::nullopt;
  }
}

}  // namespace

StoredArray open_bin(const std::filesystem::path& path, DType dtype, Dims dims) {
  StoredArray array;
  array.label = path.string();
  array.file = path;
  array.dtype = dtype;
  const uint64_t bytes = InputFile::open(path)->size();
  const std::string shape = to_string(dims);
  const auto wrong = [&](std::string_view why) {
    return data_error(fmt::format("{} bytes are not {} of {}{}", bytes, shape, name_of(dtype), why), array.label,
                      "correct --input-shape or --data-types");
  };
  if (std::ranges::count(dims, -1) > 1) throw wrong(": only one extent may be -1");
  const auto open = std::ranges::find(dims, -1);
  if (open != dims.end()) {
    *open = 1;
    const auto rest = checked_product(dims);
    const auto unit = rest ? checked_mul(*rest, static_cast<int64_t>(element_bytes(dtype))) : std::nullopt;
    if (!unit || *unit == 0 || bytes % static_cast<uint64_t>(*unit) != 0) throw wrong("");
    *open = static_cast<int64_t>(bytes / static_cast<uint64_t>(*unit));
  }
  array.dims = std::move(dims);
  const auto elements = checked_product(array.dims);
  const auto needed = elements ? checked_mul(*elements, static_cast<int64_t>(element_bytes(dtype))) : std::nullopt;
  if (!needed || static_cast<uint64_t>(*needed) != bytes) throw wrong("");
  check_extent(array, bytes);
  return array;
}

bool is_idx(const std::filesystem::path& path) {
  const auto file = InputFile::open(path);
  std::array<std::byte, kIdxFixedBytes> head{};
  if (file->size() < head.size()) return false;
  file->read(0, head);
  return head[0] == std::byte{0} && head[1] == std::byte{0} &&
         idx_type(std::to_integer<uint64_t>(head[2])).has_value() && head[3] != std::byte{0};
}

StoredArray open_idx(const std::filesystem::path& path) {
  StoredArray array;
  array.label = path.string();
  array.file = path;
  array.big_endian = true;
  if (!is_idx(path)) throw data_error("not an idx file", array.label);
  const auto file = InputFile::open(path);
  std::array<std::byte, kIdxFixedBytes> head{};
  file->read(0, head);
  array.dtype = *idx_type(std::to_integer<uint64_t>(head[2]));
  const auto rank = std::to_integer<size_t>(head[3]);
  for (size_t axis = 0; axis < rank; ++axis) {
    std::array<std::byte, 4> extent{};
    file->read(kIdxFixedBytes + 4 * axis, extent);
    array.dims.push_back(static_cast<int64_t>(read_big(extent)));
  }
  array.offset = kIdxFixedBytes + 4 * rank;
  check_extent(array, file->size());
  return array;
}

}  // namespace amct
