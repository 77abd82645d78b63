// Tensors as files of serialized TensorProto, as the ONNX project stores test data.
#pragma once

#include <filesystem>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "export/onnx/encode.h"
#include "export/onnx/pieces.h"
#include "frontends/onnx/tensor_decode.h"
#include "onnx_wire.pb.h"

namespace amct::testing {

inline void save_tensor(const Tensor& tensor, const std::filesystem::path& path) {
  wire::onnx::TensorProto proto;
  onnx_file::encode_tensor_header(tensor, path.stem().string(), proto);
  proto.set_raw_data(onnx_file::pack_payload(tensor));
  std::ofstream(path, std::ios::binary) << proto.SerializeAsString();
}

inline Tensor load_tensor(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  wire::onnx::TensorProto proto;
  if (!proto.ParseFromArray(file->bytes().data(), static_cast<int>(file->bytes().size()))) {
    throw Error(ErrorCode::kInput, "not a serialized tensor", {.file = path.string()});
  }
  return onnx_file::TensorDecoder().decode(proto);
}

// input_0.pb, input_1.pb, … as far as they go.
inline std::vector<Tensor> load_tensors(const std::filesystem::path& folder, const std::string& stem) {
  std::vector<Tensor> tensors;
  for (size_t i = 0;; ++i) {
    const auto path = folder / (stem + "_" + std::to_string(i) + ".pb");
    if (!std::filesystem::exists(path)) return tensors;
    tensors.push_back(load_tensor(path));
  }
}

}  // namespace amct::testing
