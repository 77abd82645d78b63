// Tensors whose bytes lie beside the model file: in which file, where in it, and the entries that say so.
//
// A file of protobuf ends at 2 GB. Initializers of the model and of the graphs within its nodes may be stored outside
// (TensorProto.external_data), each from a page of its own on, because readers map them one by one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_set>

#include "base/files.h"
#include "ir/tensor.h"

namespace amct::wire::onnx {
class TensorProto;
}

namespace amct::onnx_file {

class ExternalData {
 public:
  static constexpr uint64_t kLeastBytes = 1024;  // what is smaller stays in the model file

  // `suffix`: empty = one file `<model>.data` for all tensors, else one `<tensor><suffix>` for each.
  ExternalData(OutputFiles& files, std::filesystem::path model, std::string suffix)
      : files_(files), model_(std::move(model)), suffix_(std::move(suffix)) {}

  // Writes the tensor's bytes, and says in its header where they are.
  void put(const std::string& name, const Tensor& tensor, wire::onnx::TensorProto& header);

 private:
  OutputFiles::Writer& file_for(const std::string& name, std::string& location);

  OutputFiles& files_;
  std::filesystem::path model_;
  std::string suffix_;
  std::unordered_set<std::string> locations_;  // files, where each has one tensor
  OutputFiles::Writer* shared_ = nullptr;      // the one file, where they share it
};

}  // namespace amct::onnx_file
