// Maximum and average pooling of float32 over 1 to 3 spatial axes: the largest element of every window, or its elements
// added and divided by a count. Pads are in no maximum and add nothing to a sum; whether they count is the kind.
#pragma once

#include <memory>
#include <vector>

#include "kernels/dnnl/kernel.h"

namespace amct::dnn {

struct PoolingSpec {
  enum class Kind {
    kMax,
    kAverageInside,  // divides by the elements inside the input
    kAveragePadded,  // divides by the elements of the window
  };
  Kind kind = Kind::kMax;
  Operand src, dst;
  Window window;
  std::vector<PostOp> post_ops;
  int threads = 1;
};

// Inputs to bind: src. Null if the library has no optimized implementation of the case.
std::unique_ptr<Kernel> make_pooling(const PoolingSpec& spec);

}  // namespace amct::dnn
