// All arrays of an .npz file.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "data/npy.h"
#include "ir/tensor.h"

namespace amct::testing {

inline std::map<std::string, Tensor> read_npz(const std::filesystem::path& path) {
  std::map<std::string, Tensor> tensors;
  for (const StoredArray& array : open_npz(path)) tensors.insert_or_assign(array.name, read_whole(array));
  return tensors;
}

}  // namespace amct::testing
