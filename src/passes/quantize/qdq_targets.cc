#include "passes/quantize/qdq_targets.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace amct {

const std::vector<QdqTarget>& qdq_targets() {
  // ort: a convolution is computed in integers only if its output is quantized; uint8 activations let a ReLU vanish in
  // the zero point and have the fast kernels on x86 (docs/architecture.md has the measurements).
  // tensorrt: symmetric int8 and float biases are all it takes; it fuses activations and sums into layers itself.
  static const std::vector<QdqTarget> targets = {
      {.name = "ort",
       .runtime = "ONNX Runtime (CPU)",
       .unsigned_activations = true,
       .symmetric = false,
       .integer_bias = true,
       .adds_in_layer = false,
       .packed_int4 = true,
       .activation_bits = {4, 8, 16},
       .quantized_both_sides = {"add", "concat", "average_pool", "global_average_pool", "max_pool"},
       .absorbed = {"relu", "clip"},
       .float_output = {"gemm", "matmul"}},
      {.name = "tensorrt",
       .runtime = "TensorRT",
       .unsigned_activations = false,
       .symmetric = true,
       .integer_bias = false,
       .adds_in_layer = true,
       .packed_int4 = false,
       .activation_bits = {8},
       .quantized_both_sides = {"add"},
       .absorbed = {},
       .float_output = {"conv", "conv_transpose", "gemm", "matmul", "average_pool"}},
      {.name = "openvino",
       .runtime = "OpenVINO (CPU)",
       .unsigned_activations = true,
       .symmetric = false,
       .integer_bias = false,
       .adds_in_layer = true,
       .packed_int4 = false,
       .activation_bits = {8},
       .quantized_both_sides = {"add", "concat", "average_pool", "global_average_pool", "max_pool"},
       .absorbed = {"relu", "clip"},
       .float_output = {"conv", "conv_transpose", "gemm", "matmul", "average_pool"}},
  };
  return targets;
}

std::vector<std::string> qdq_target_names() {
  std::vector<std::string> names;
  for (const QdqTarget& target : qdq_targets()) names.push_back(target.name);
  return names;
}

const QdqTarget& qdq_target(std::string_view name) {
  for (const QdqTarget& target : qdq_targets()) {
    if (target.name == name) return target;
  }
  const std::string near = closest(name, qdq_target_names());
  throw Error(ErrorCode::kConfig, fmt::format("there is no QDQ target '{}'", name), {},
              fmt::format("did you mean '{}'?", near.empty() ? kDefaultQdqTarget : near));
}

void check_qdq_target(const Plan& plan, const QdqTarget& target) {
  Faults faults;
  const auto check = [&](const std::string& user, int bits) {
    if (std::ranges::find(target.activation_bits, bits) != target.activation_bits.end()) return;
    faults.add(Error(ErrorCode::kConfig, fmt::format("{} takes no {}-bit activations", target.runtime, bits),
                     {.node = user}, "choose another --qdq-target, or leave qdq out of --emit"));
  };
  for (const LayerPlan& layer : plan.layers) {
    if (layer.quantize) check(layer.name, layer.activation.bits);
  }
  for (const TensorPlan& item : plan.tensors) check(item.tensor, item.activation.bits);
  faults.throw_if_any();
}

}  // namespace amct
