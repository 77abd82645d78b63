// Copies an activation from one memory order to the other.
#pragma once

#include <memory>

#include "kernels/dnnl/kernel.h"

namespace amct::dnn {

// Inputs to bind: src; `dims` are logical extents. Null if the library has no optimized implementation of the case.
std::unique_ptr<Kernel> make_reorder(const Dims& dims, bool from_channels_last, bool to_channels_last, int threads);

}  // namespace amct::dnn
