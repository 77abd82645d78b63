// Functions in the model file: every call is replaced by the nodes of the function.
//
// Values within get fresh names that begin with the name of the call; attributes that refer to the function's
// (`ref_attr_name`) take the caller's value, the function's default, or go. A function has its own opset imports, so
// each node that came from one says which (NodeProto.opset_scope). Calls may stand in functions and in subgraphs.
#pragma once

#include <vector>

#include "frontends/onnx/import_node.h"

namespace amct::wire::onnx {
class ModelProto;
}

namespace amct::onnx_file {

// `nodes` are the serialized nodes of the graph in file order; afterwards those that came from functions, or hold calls
// in subgraphs, have no bytes. Returns the opset imports by opset_scope - 1. Throws Error(kInput) on recursion and on
// faulty calls, kUnsupported where the graph would grow beyond reason.
std::vector<Opsets> inline_functions(wire::onnx::ModelProto& model, std::vector<Bytes>& nodes);

}  // namespace amct::onnx_file
