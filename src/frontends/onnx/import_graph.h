// ModelProto -> Graph: header, inputs, constants, nodes in an order that runs, declared types, outputs. The middle of
// load_onnx.cc: before it the file has been walked (wire_scan.h) and functions inlined; it takes node by node through
// import_node.h, and the graphs within nodes through itself.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "frontends/onnx/import_node.h"
#include "frontends/onnx/inline_functions.h"
#include "frontends/onnx/tensor_decode.h"
#include "ir/graph.h"

namespace amct::wire::onnx {
class ModelProto;
}

namespace amct::onnx_file {

// Versions of the standard domain that are read; older ones only if every operator has a spelling that old. Opset 24
// brought Swish, TensorScatter, another input of Attention and an 8-bit type, opset 25 two types of 2 bits; what a row
// does not take of them is opaque or refused where it stands.
inline constexpr int64_t kOldestOpset = 6;
inline constexpr int64_t kNewestOpset = 25;

// What is known of a file beside its messages.
struct FileParts {
  const std::vector<Bytes>& nodes;        // serialized nodes of model.graph in file order; empty: to be made anew
  const std::vector<Opsets>& scopes;      // opset imports by NodeProto.opset_scope - 1
  const std::vector<Bytes>& kept_fields;  // top-level fields to be written back
};

// Throws Error(kInput) on faults, kUnsupported on versions beyond the supported ones.
Graph import_model(const wire::onnx::ModelProto& model, const FileParts& parts, TensorDecoder& tensors,
                   const std::filesystem::path& path);

}  // namespace amct::onnx_file
