#include "passes/quantize/qdq_targets.h"

#include <fmt/format.h>

#include "base/error.h"

namespace amct {

const std::vector<QdqTarget>& qdq_targets() {
  // onnxruntime: a convolution is computed in integers only if its output is quantized; uint8 activations let a ReLU
  // vanish in the zero point and have the fast kernels on x86 (docs/architecture.md has the measurements).
  // tensorrt: signed and symmetric is all it takes; it fuses what follows a layer itself.
  static const std::vector<QdqTarget> targets = {
      {.name = "onnxruntime",
       .runtime = "ONNX Runtime (CPU)",
       .unsigned_activations = true,
       .symmetric = false,
       .quantized_both_sides = {"add", "concat", "average_pool", "global_average_pool", "max_pool"},
       .absorbed = {"relu", "clip"},
       .float_output = {"gemm", "matmul"}},
      {.name = "tensorrt",
       .runtime = "TensorRT",
       .unsigned_activations = false,
       .symmetric = true,
       .quantized_both_sides = {"add"},
       .absorbed = {},
       .float_output = {"conv", "conv_transpose", "gemm", "matmul", "average_pool"}},
  };
  return targets;
}

const QdqTarget& qdq_target(std::string_view name) {
  std::vector<std::string> known;
  for (const QdqTarget& target : qdq_targets()) {
    if (target.name == name) return target;
    known.push_back(target.name);
  }
  const std::string near = closest(name, known);
  throw Error(ErrorCode::kConfig, fmt::format("there is no QDQ target '{}'", name), {},
              fmt::format("did you mean '{}'?", near.empty() ? known.front() : near));
}

}  // namespace amct
