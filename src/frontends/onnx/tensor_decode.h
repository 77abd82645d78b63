// TensorProto -> Tensor: every encoding that the format allows, with sizes checked before memory is taken.
//
// Payloads of the model file and of external data files stay in place, at addresses that need not suit the element type
// (ir/tensor.h); 4-bit elements are unpacked to a byte each (low nibble first in the file).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "frontends/onnx/wire_scan.h"
#include "ir/tensor.h"

namespace amct::wire::onnx {
class GraphProto;
class NodeProto;
class SparseTensorProto;
class TensorProto;
}  // namespace amct::wire::onnx

namespace amct::onnx_file {

// True if a tensor in the attributes of the node, those of its subgraphs included, is external data.
bool refers_to_other_files(const wire::onnx::NodeProto& node);

class TensorDecoder {
 public:
  // `file` holds `payloads`; external data is looked for in `folder` and must not lead out of it.
  TensorDecoder(std::shared_ptr<const MappedFile> file, std::vector<Bytes> payloads, std::filesystem::path folder)
      : file_(std::move(file)), payloads_(std::move(payloads)), folder_(std::move(folder)) {}
  TensorDecoder() = default;  // for tensors that stand alone: no payloads, no external data

  // Throws Error(kInput) naming the tensor, kUnsupported for strings.
  Tensor decode(const wire::onnx::TensorProto& proto);
  Tensor decode(const wire::onnx::SparseTensorProto& proto);  // to dense
  // Puts the payloads that the walk over the file left out, and those in other files, into the node, its subgraphs
  // included. Throws Error(kInput) if nodes ask for several times what the files hold.
  void restore_payloads(wire::onnx::NodeProto& node);

 private:
  Tensor decode_checked(const wire::onnx::TensorProto& proto);
  void restore_payload(wire::onnx::TensorProto& tensor);
  struct Place {
    Bytes bytes;
    std::shared_ptr<const MappedFile> file;  // null if the bytes must be copied
  };
  Place external(const wire::onnx::TensorProto& proto);
  std::shared_ptr<const MappedFile> external_file(const std::string& location);

  std::shared_ptr<const MappedFile> file_;
  std::vector<Bytes> payloads_;
  uint64_t restored_ = 0;  // bytes
  std::filesystem::path folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>> external_files_;
  uint64_t external_bytes_ = 0;  // in all of them
};

}  // namespace amct::onnx_file
