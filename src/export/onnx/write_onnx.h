// Writes a graph as an ONNX model.
//
// Rows are lowered by the spelling that holds at the target opset; opaque nodes are written back as they were read. The
// names of inputs, outputs, values and layers are the graph's. Weights are streamed from where they lie: no second copy
// of them is made. The bytes of the file depend on the graph and the options alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "ir/graph.h"

namespace amct {

struct OnnxWriteOptions {
  int64_t opset = 0;  // of the standard domain; 0 = the graph's own
  // Constants that the file listed as inputs too, so that a caller may override them, stay listed. False: they become
  // plain constants, which runtimes fold and fuse.
  bool overridable_constants = true;
  // From this many bytes of weights on, those of subgraphs included, they go to `<file>.data` beside the model
  // (protobuf ends at 2 GB).
  uint64_t external_data_from = 2'000'000'000;
  // Not empty: only those of subgraphs and the largest others go, until what is left fits below that limit, each to a
  // file `<tensor><suffix>` beside the model (AMCT's `<tensor>_deploy.external`, spec F.1). A "/" in the name of a
  // tensor becomes "_".
  std::string external_suffix = {};
};

// The file appears when it is complete. Throws Error(kUnsupported) naming the node that cannot be written at the opset,
// kResource when the place is not writable.
void write_onnx(const Graph& graph, const std::filesystem::path& path, const OnnxWriteOptions& options = {});

// The same as part of a set of files that appear together.
void write_onnx(const Graph& graph, OutputFiles& files, const std::filesystem::path& path,
                const OnnxWriteOptions& options = {});

}  // namespace amct
