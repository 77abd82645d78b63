// Reads an ONNX model.
//
// Operators become rows of the table by the spelling that holds at the file's opset; what no row knows (custom domains,
// sequences) stays as opaque nodes, whose reason is the attribute "onnx.reason". Functions of the file are inlined;
// subgraphs become closed graphs (ops/subgraph.h). Weights lie
// in the mapped file, or beside it as external data, and are not copied. Declared types are put on values and completed
// by the shape rules. Names of values, inputs and outputs are the file's; layer keys are unique.
#pragma once

#include <filesystem>

#include "ir/graph.h"

namespace amct {

// Throws Error(kInput) with one line that says what is wrong with the file, kUnsupported if it is beyond what is read.
Graph load_onnx(const std::filesystem::path& path);

}  // namespace amct
