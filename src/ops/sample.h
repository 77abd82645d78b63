// Samples: a few small nodes of a row, with concrete inputs, that the conformance test runs through everything the row
// declares.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace amct {

struct SampleInput {
  DType dtype = DType::kFloat32;  // kUndefined = absent optional input
  Dims dims;
  double low = -1;  // random values are uniform in [low, high]; integers round
  double high = 1;
  bool constant = false;  // goes into the graph as a constant (weights, shapes)
  Tensor value;           // fixed value instead of a random one
};

struct Sample {
  std::string name;  // "stride2_pad", unique in the row
  std::vector<SampleInput> inputs;
  Attrs attrs;
  size_t outputs = 1;
  bool skip_onnx_runtime = false;  // ONNX Runtime has no kernel for this case: `reason` says so
  std::string reason;
};

using SamplesFn = std::vector<Sample> (*)();

// Short forms for sample lists.
SampleInput random_input(Dims dims, double low = -1, double high = 1, DType dtype = DType::kFloat32);
SampleInput random_weight(Dims dims, double low = -1, double high = 1, DType dtype = DType::kFloat32);
SampleInput fixed_ints(const std::vector<int64_t>& values);  // constant 1-d int64
SampleInput fixed(Tensor value);                             // constant
SampleInput absent_input();

}  // namespace amct
