#include "passes/quantize/qdq_targets.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/suggestion.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"

namespace amct {

const std::vector<QdqTarget>& qdq_targets() {
  // ort: a convolution is computed in integers only if its output is quantized; uint8 activations let a ReLU vanish in
  // the zero point and have the fast kernels on x86 (docs/design/integers.md has the measurements).
  // Of weights in groups beside 8-bit activations it takes the 8-bit ones for one scale (1.31).
  // tensorrt: symmetric int8 and float biases are all it takes; it fuses activations and sums into layers itself, and
  // has groups of weights beside float activations alone.
  // openvino: fuses likewise, and takes zero points. 4-bit weights are stored in int8.
  static const std::vector<QdqTarget> targets = {
      {.name = "ort",
       .runtime = "ONNX Runtime (CPU)",
       .unsigned_activations = true,
       .symmetric = false,
       .integer_bias = true,
       .adds_in_layer = false,
       .packed_int4 = true,
       .activation_bits = {4, 8, 16},
       .group_bits = {4},
       .partial_groups = true,
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
       .group_bits = {},
       .partial_groups = false,
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
       .group_bits = {8},
       .partial_groups = false,
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
  throw Error(ErrorCode::kConfig, fmt::format("there is no QDQ target '{}'", name), {},
              suggestion(name, qdq_target_names(), fmt::format("did you mean '{}'?", kDefaultQdqTarget)));
}

void check_qdq_target(const Graph& graph, const Plan& plan, const QdqTarget& target) {
  Faults faults;
  const auto fault = [&](const std::string& user, const std::string& what, const std::string& hint) {
    faults.add(Error(ErrorCode::kConfig, fmt::format("{} takes no {}", target.runtime, what), {.node = user},
                     fmt::format("{}, or leave qdq out of --emit", hint)));
  };
  const auto takes = [](const std::vector<int>& list, int bits) { return std::ranges::find(list, bits) != list.end(); };
  const auto check_activation = [&](const std::string& user, int bits) {
    if (takes(target.activation_bits, bits)) return;
    fault(user, fmt::format("{}-bit activations", bits), "choose another --qdq-target");
  };
  const auto check_groups = [&](const LayerPlan& layer) {
    const WeightPlan& weight = *layer.weight;
    const int stored = weight.bits == 4 && target.packed_int4 ? 4 : 8;
    if (plan.weight_only) {
      if (target.packed_int4) return;
      return fault(layer.name, "groups of weights beside float activations in the form that is written here",
                   "choose another --qdq-target");
    }
    if (layer.activation.bits == 8 && !takes(target.group_bits, stored)) {
      fault(layer.name, fmt::format("groups of {}-bit weights beside 8-bit activations", weight.bits),
            stored == 8 && takes(target.group_bits, 4) ? "--weight-bits 4 or --activation-bits 16"
                                                       : "choose another --qdq-target");
    }
    const Node& node = graph.node(graph.find_node(layer.name));
    const auto& rule = node.row->quant.compute_rule();
    const Dims& dims = graph.constant(node.input(rule.weight_port))->dims();
    const int64_t inputs = dims[static_cast<size_t>(group_axis(dims, rule.channel_axis_for(graph, node)))];
    if (!target.partial_groups && inputs % weight.group != 0) {
      fault(layer.name, fmt::format("groups of {} of its {} inputs: one would be smaller", weight.group, inputs),
            "choose another size or --qdq-target");
    }
  };
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    check_activation(layer.name, layer.activation.bits);
    if (layer.weight && layer.weight->group > 0) check_groups(layer);
  }
  for (const TensorPlan& item : plan.tensors) check_activation(item.tensor, item.activation.bits);
  faults.throw_if_any();
}

}  // namespace amct
