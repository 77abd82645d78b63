// ModelProto -> Graph: header, inputs, constants, nodes in an order that runs, declared types, outputs.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "frontends/onnx/import_node.h"
#include "frontends/onnx/tensor_decode.h"
#include "ir/graph.h"

namespace amct::wire::onnx {
class ModelProto;
}

namespace amct::onnx_file {

// Versions of the standard domain that are read; older ones only if every operator has a spelling that old.
inline constexpr int64_t kOldestOpset = 6;
inline constexpr int64_t kNewestOpset = 23;

// `nodes` are the serialized nodes of model.graph in file order, `kept_fields` top-level fields to be written back.
// Throws Error(kInput) on faults, kUnsupported on versions beyond the supported ones.
Graph import_model(const wire::onnx::ModelProto& model, const std::vector<Bytes>& nodes,
                   const std::vector<Bytes>& kept_fields, TensorDecoder& tensors, const std::filesystem::path& path);

}  // namespace amct::onnx_file
