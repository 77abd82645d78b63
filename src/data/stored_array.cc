#include "data/stored_array.h"

#include <fmt/core.h>

#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "base/checked_math.h"
#include "ir/dispatch.h"

namespace amct {
namespace {

constexpr size_t kWholeReadBytes = size_t{1} << 22;  // a column-major array up to this size is read in one piece

size_t row_elements(const StoredArray& array) { return static_cast<size_t>(element_count(array.row_dims())); }

// A complex number is two numbers for the purpose of byte order.
size_t swap_width(DType dtype) {
  const bool complex = dtype == DType::kComplex64 || dtype == DType::kComplex128;
  return complex ? element_bytes(dtype) / 2 : element_bytes(dtype);
}

// Position of the elements of a row-major walk over `dims` in a column-major array of these extents.
std::vector<uint64_t> column_major_positions(const Dims& dims) {
  const auto count = static_cast<size_t>(element_count(dims));
  std::vector<uint64_t> positions(count);
  Dims index(dims.size(), 0);
  for (size_t i = 0; i < count; ++i) {
    uint64_t position = 0;
    for (size_t axis = dims.size(); axis > 0; --axis) {
      position = position * static_cast<uint64_t>(dims[axis - 1]) + static_cast<uint64_t>(index[axis - 1]);
    }
    positions[i] = position;
    for (size_t axis = dims.size(); axis > 0; --axis) {
      if (++index[axis - 1] < dims[axis - 1]) break;
      index[axis - 1] = 0;
    }
  }
  return positions;
}

void gather_row(const StoredArray& array, const InputFile& file, int64_t row, std::span<std::byte> destination) {
  const size_t width = element_bytes(array.dtype);
  const auto rows = static_cast<uint64_t>(array.rows());
  const auto positions = column_major_positions(array.row_dims());
  const size_t total = static_cast<size_t>(rows) * destination.size();
  if (total <= kWholeReadBytes) {
    std::vector<std::byte> all(total);
    file.read(array.offset, all);
    for (size_t i = 0; i < positions.size(); ++i) {
      std::memcpy(destination.data() + i * width,
                  all.data() + (static_cast<uint64_t>(row) + rows * positions[i]) * width, width);
    }
    return;
  }
  for (size_t i = 0; i < positions.size(); ++i) {
    file.read(array.offset + (static_cast<uint64_t>(row) + rows * positions[i]) * width,
              destination.subspan(i * width, width));
  }
}

template <typename To, typename From>
bool fits(From value) {
  if constexpr (std::is_integral_v<To> && !std::is_same_v<To, bool> && std::is_integral_v<From>) {
    return static_cast<From>(static_cast<To>(value)) == value && (value < From{}) == (static_cast<To>(value) < To{});
  } else {
    (void)value;
    return true;
  }
}

}  // namespace

void check_extent(const StoredArray& array, uint64_t file_bytes) {
  const auto count = checked_product(array.dims);
  const auto bytes = count ? checked_mul(*count, static_cast<int64_t>(element_bytes(array.dtype))) : std::nullopt;
  if (!bytes || array.dims.size() > 32) {
    throw data_error(fmt::format("the extents {} are beyond any memory", to_string(array.dims)), array.label);
  }
  if (array.offset > file_bytes || static_cast<uint64_t>(*bytes) > file_bytes - array.offset) {
    throw data_error(
        fmt::format("{} of {} need {} bytes, but only {} are there", to_string(array.dims), name_of(array.dtype),
                    *bytes, array.offset > file_bytes ? 0 : file_bytes - array.offset),
        array.label, "the file is cut off or its header is wrong: write it again");
  }
}

void read_row(const StoredArray& array, int64_t row, std::span<std::byte> destination) {
  AMCT_CHECK(row >= 0 && row < array.rows(), "row of an array out of range");
  AMCT_CHECK(destination.size() == row_elements(array) * element_bytes(array.dtype), "row of a wrong size");
  const auto file = array.open();
  if (array.column_major && array.dims.size() > 1) {
    gather_row(array, *file, row, destination);
  } else {
    file->read(array.offset + static_cast<uint64_t>(row) * destination.size(), destination);
  }
  if (array.big_endian) swap_bytes(destination, swap_width(array.dtype));
}

Tensor read_whole(const StoredArray& array) {
  Tensor tensor = Tensor::allocate(array.dtype, array.dims);
  const std::span<std::byte> bytes(tensor.mutable_data(), tensor.bytes().size());
  if (array.column_major && array.dims.size() > 1) {
    std::vector<std::byte> all(bytes.size());
    array.open()->read(array.offset, all);
    const size_t width = element_bytes(array.dtype);
    size_t i = 0;
    for (const uint64_t position : column_major_positions(array.dims)) {
      std::memcpy(bytes.data() + i++ * width, all.data() + position * width, width);
    }
  } else {
    array.open()->read(array.offset, bytes);
  }
  if (array.big_endian) swap_bytes(bytes, swap_width(array.dtype));
  return tensor;
}

bool may_convert(DType from, DType to) {
  const auto plain = [](DType dtype) {
    return dtype == DType::kBool || (is_integer(dtype) && bit_width(dtype) >= 8) ||
           (is_floating(dtype) && bit_width(dtype) >= 16);
  };
  if (from == to) return plain(from);
  if (!plain(from) || !plain(to) || to == DType::kBool) return false;
  return !is_floating(from) || is_floating(to);
}

void convert_elements(const TensorView& from, const MutableView& to, const std::string& label) {
  AMCT_CHECK(from.size() == to.size(), "conversion between arrays of different size");
  AMCT_CHECK(may_convert(from.dtype, to.dtype), "conversion between types that do not convert");
  const auto count = static_cast<size_t>(from.size());
  if (from.dtype == to.dtype) {
    if (count > 0) std::memcpy(to.data, from.data, from.bytes());
    return;
  }
  visit_numeric(from.dtype, [&]<typename From>(Tag<From>) {
    visit_numeric(to.dtype, [&]<typename To>(Tag<To>) {
      const From* source = from.as<From>();
      To* target = to.as<To>();
      for (size_t i = 0; i < count; ++i) {
        const auto value = static_cast<Compute<From>>(source[i]);
        if (!fits<Compute<To>>(value)) {
          throw data_error(
              fmt::format("the value {} does not fit into {}", static_cast<double>(value), name_of(to.dtype)), label);
        }
        target[i] = static_cast<To>(static_cast<Compute<To>>(value));
      }
    });
  });
}

}  // namespace amct
