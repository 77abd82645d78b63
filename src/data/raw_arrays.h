// Arrays in files of other formats: raw .bin, idx (MNIST), ONNX TensorProto (.pb). Headers only; throw Error(kInput)
// naming the file.
#pragma once

#include <filesystem>
#include <optional>

#include "data/stored_array.h"

namespace amct {

// A file of nothing but elements, row-major and little-endian. One extent may be -1: it follows from the file's size;
// else the size must be exact.
StoredArray open_bin(const std::filesystem::path& path, DType dtype, Dims dims);

// Two zero bytes, element type, rank, big-endian 32-bit extents, big-endian elements (yann.lecun.com/exdb/mnist).
StoredArray open_idx(const std::filesystem::path& path);
bool is_idx(const std::filesystem::path& path);

// One serialized TensorProto of the ONNX format, read by a bounds-checked scan of the protobuf wire format. Strings,
// 4- and 8-bit floats, 4-bit integers and external data are refused.
StoredArray open_tensor_proto(const std::filesystem::path& path);

}  // namespace amct
