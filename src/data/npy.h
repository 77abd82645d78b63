// NumPy's files: .npy (format versions 1 to 3, row- and column-major, either byte order) and .npz (a zip archive of
// .npy members, stored or deflated). Every fixed-width numeric type is read; structured, text and object arrays are
// refused. Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/stored_array.h"
#include "ir/tensor.h"

namespace amct {

// Header only; throw Error(kInput) naming the file (and member).
StoredArray open_npy(const std::filesystem::path& path);
std::vector<StoredArray> open_npz(const std::filesystem::path& path);  // in the order of the archive

Tensor read_npy(const std::filesystem::path& path);  // the whole array

// Writes version 1, row-major, little-endian, atomically. Types that NumPy lacks are widened without loss: bfloat16 to
// float32, 4-bit integers to 8 bits; the 8- and 4-bit floats are refused (kUnsupported). Extents [] make a 0-d array.
void write_npy(const std::filesystem::path& path, const TensorView& tensor);

}  // namespace amct
