// An array that stays in its file and is read row by row (a row is one index of axis 0): the common form of .npy,
// members of .npz, .bin, idx and TensorProto files once their headers are understood.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "data/input_file.h"
#include "ir/tensor.h"

namespace amct {

struct StoredArray {
  std::string name;                         // of the member or TensorProto; "" when the format has no names
  std::string label;                        // file (and member) for messages
  std::filesystem::path file;               // opened for each read, so that thousands of them hold no descriptors
  std::shared_ptr<const InputFile> opened;  // instead of `file`: unpacked data
  uint64_t offset = 0;                      // of the first element
  DType dtype = DType::kUndefined;
  Dims dims;
  bool column_major = false;
  bool big_endian = false;

  int64_t rows() const { return dims.empty() ? 1 : dims.front(); }
  Dims row_dims() const { return dims.empty() ? Dims{} : Dims(dims.begin() + 1, dims.end()); }
  std::shared_ptr<const InputFile> open() const { return opened ? opened : InputFile::open(file); }
};

// Throws Error(kInput) unless the extents are sane and all elements lie inside a file of `file_bytes`.
void check_extent(const StoredArray& array, uint64_t file_bytes);

// Elements of row `row`, row-major, native byte order; `destination` has the exact size.
void read_row(const StoredArray& array, int64_t row, std::span<std::byte> destination);

Tensor read_whole(const StoredArray& array);

// Whether elements of `from` may become elements of `to` without a decision that is the user's: integers and bool to
// any float, float to float, integer to integer (a value that does not fit is an error when it is met).
bool may_convert(DType from, DType to);

// Converts as `may_convert` allows; `label` is for messages.
void convert_elements(const TensorView& from, const MutableView& to, const std::string& label);

}  // namespace amct
