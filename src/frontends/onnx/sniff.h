// What a file looks like that is not the ONNX model it was given as.
#pragma once

#include <string>

#include "frontends/onnx/wire_scan.h"

namespace amct::onnx_file {

// "a PyTorch archive or another zip file", "an HDF5 file (Keras)", …; "" when nothing is recognised.
std::string looks_like(Bytes file);

}  // namespace amct::onnx_file
