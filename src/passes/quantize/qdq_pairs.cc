#include "passes/quantize/qdq_pairs.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/onnx_types.h"
#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

Where at(const Graph& graph, const Node& node) {
  return {.model = graph.info.path, .node = node.name, .op = node.origin.op.empty() ? node.op : node.origin.op};
}

DType integer_type(const Graph& graph, const Node& node) {
  if (!is_op(node, "quantize_linear")) return graph.value(node.input(0)).type.dtype;
  if (node.input(2).valid()) return graph.value(node.input(2)).type.dtype;
  const int64_t code = attr_int(node, "output_dtype");
  return code == 0 ? DType::kUInt8 : dtype_from_onnx(code).value_or(DType::kUndefined);
}

const Tensor& constant_factor(const Graph& graph, const Node& node, size_t port, const char* what) {
  const Tensor* tensor = graph.constant(node.input(port));
  if (tensor == nullptr) {
    throw Error(ErrorCode::kUnsupported, fmt::format("its {} is computed, not constant", what), at(graph, node));
  }
  return *tensor;
}

void check_scales(const Graph& graph, const Node& node, const std::vector<float>& scales) {
  const auto bad = std::ranges::find_if(scales, [](float s) { return !(std::isfinite(s) && s > 0); });
  if (bad == scales.end()) return;
  throw Error(ErrorCode::kNumeric, fmt::format("its scale is {}, must be positive and finite", *bad), at(graph, node));
}

std::string in_words(const QdqFactors& factors) {
  if (!factors.per_tensor()) return fmt::format("{} scales", factors.scales.size());
  const int64_t shift = is_signed_integer(factors.integer) ? 0 : int64_t{1} << (bit_width(factors.integer) - 1);
  return fmt::format("scale {}, zero point {} ({})", factors.scales[0], factors.zeros[0] + shift,
                     name_of(factors.integer));
}

class PairChecker {
 public:
  explicit PairChecker(const Graph& graph) : graph_(graph) {}

  void run() {
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      try {
        if (is_op(node, "quantize_linear") && !graph_.value(node.input(0)).is_constant()) check_quantizer(node);
        if (is_op(node, "dequantize_linear")) check_dequantizer(node);
      } catch (const Error& error) {
        faults_.add(error);
      }
    }
    faults_.throw_if_any();
  }

 private:
  void fault(const Node& node, std::string what, std::string hint = {}) {
    faults_.add(Error(ErrorCode::kUnsupported, std::move(what), at(graph_, node), std::move(hint)));
  }

  void check_quantizer(const Node& node) {
    const QdqFactors factors = read_qdq_factors(graph_, node);
    if (!factors.per_tensor() && !feeds_depthwise_layers(node, factors)) {
      return fault(node, "an activation has more than one scale, which only depthwise convolutions can take");
    }
    if (!common_zero(factors)) return fault(node, "its channels have more than one zero point");
    for (const Use& use : graph_.value(node.output()).uses) {
      const Node& reader = graph_.node(use.node);
      if (!is_op(reader, "dequantize_linear") || use.port != 0) {
        fault(node,
              fmt::format("its integers are read by '{}' ({}), not by a DequantizeLinear", reader.name, reader.op));
        continue;
      }
      const QdqFactors back = read_qdq_factors(graph_, reader);
      const bool same_axis = factors.per_tensor() || back.axis == factors.axis;
      if (same_axis && back.scales == factors.scales && back.zeros == factors.zeros &&
          back.integer == factors.integer) {
        continue;
      }
      fault(node, fmt::format("a pair does not match: it has {}, DequantizeLinear '{}' has {}", in_words(factors),
                              reader.name, in_words(back)));
    }
  }

  // A depthwise convolution multiplies each channel by weights of its own, so that a channel's scale can move into
  // them.
  bool feeds_depthwise_layers(const Node& quantizer, const QdqFactors& factors) const {
    const auto count = static_cast<int64_t>(factors.scales.size());
    const Shape& shape = graph_.value(quantizer.input(0)).type.shape;
    const bool channels =
        shape.ranked() && shape.rank() >= 3 && (factors.axis == 1 || factors.axis + shape.rank() == 1);
    if (factors.block != 0 || !channels) return false;
    return std::ranges::all_of(graph_.value(quantizer.output()).uses, [&](const Use& pair) {
      const Node& dequantizer = graph_.node(pair.node);
      if (dequantizer.outputs.size() != 1 || graph_.is_output(dequantizer.output())) return false;
      return std::ranges::all_of(graph_.value(dequantizer.output()).uses, [&](const Use& use) {
        return is_op(graph_.node(use.node), "conv") && use.port == 0 &&
               attr_int(graph_.node(use.node), "group") == count;
      });
    });
  }

  void check_dequantizer(const Node& node) {
    const Value& input = graph_.value(node.input(0));
    if (input.is_constant()) {
      read_qdq_factors(graph_, node);
      return;
    }
    const Node* producer = graph_.producer(node.input(0));
    if (producer == nullptr)
      return fault(node, fmt::format("it reads '{}', which no QuantizeLinear gives", input.name));
    if (is_op(*producer, "quantize_linear")) {
      if (graph_.value(producer->input(0)).is_constant()) read_qdq_factors(graph_, node);
      return;
    }
    fault(node, fmt::format("it reads the result of '{}' ({}), not of a QuantizeLinear", producer->name, producer->op));
  }

  const Graph& graph_;
  Faults faults_;
};

// `bounds`: of its integers, both known.
void move_clip(Graph& graph, NodeId id, const ClipBounds& bounds) {
  const NodeId quantizer = graph.value(graph.node(id).input(0)).producer;
  const QdqFactors factors = read_qdq_factors(graph, graph.node(quantizer));
  if (!factors.per_tensor()) return;
  const int64_t shift = is_signed_integer(factors.integer) ? 0 : int64_t{1} << (bit_width(factors.integer) - 1);
  const std::string name = graph.node(id).name + ".float";
  const auto limit = [&](double integer, const char* side) {
    if (std::isinf(integer)) return kNoValue;
    const auto steps = static_cast<float>(integer - static_cast<double>(shift + factors.zeros[0]));
    return graph.add_constant(name + side, Tensor::scalar<float>(factors.scales[0] * steps));
  };
  const ValueId low = limit(*bounds.low, ".min"), high = limit(*bounds.high, ".max");
  const NodeId clip = add_op(graph, name, "clip", {graph.node(quantizer).input(0), low, high});
  graph.set_input(quantizer, 0, graph.node(clip).output());
  graph.replace_uses(graph.node(id).output(), graph.node(quantizer).output());
  graph.erase_node(id);
}

}  // namespace

QdqFactors read_qdq_factors(const Graph& graph, const Node& node) {
  const Tensor& scale = constant_factor(graph, node, 1, "scale");
  if (scale.dtype() != DType::kFloat32 || scale.size() == 0) {
    throw Error(ErrorCode::kUnsupported, fmt::format("its scale is {}, must be float32", name_of(scale.dtype())),
                at(graph, node));
  }
  QdqFactors factors{.scales = {scale.values<float>().begin(), scale.values<float>().end()}};
  check_scales(graph, node, factors.scales);
  factors.integer = integer_type(graph, node);
  if (!is_integer(factors.integer) || bit_width(factors.integer) > 32) {
    throw Error(ErrorCode::kUnsupported, fmt::format("it quantizes to {}, not to integers", name_of(factors.integer)),
                at(graph, node));
  }
  factors.zeros.assign(factors.scales.size(), 0);
  if (node.input(2).valid()) factors.zeros = constant_factor(graph, node, 2, "zero point").to_int64s();
  if (factors.zeros.size() != factors.scales.size()) {
    throw Error(ErrorCode::kInput, "it has not as many zero points as scales", at(graph, node));
  }
  if (!is_signed_integer(factors.integer)) {
    for (int64_t& zero : factors.zeros) zero -= int64_t{1} << (bit_width(factors.integer) - 1);
  }
  factors.axis = attr_int(node, "axis");
  factors.block = attr_int(node, "block_size");
  return factors;
}

std::optional<int64_t> common_zero(const QdqFactors& factors) {
  const auto widest = std::ranges::max_element(factors.scales) - factors.scales.begin();
  const int64_t zero = factors.zeros[widest];
  const auto levels = static_cast<float>(int64_t{1} << bit_width(factors.integer));
  for (size_t c = 0; c < factors.scales.size(); ++c) {
    if (factors.zeros[c] != zero && levels * factors.scales[c] > factors.scales[widest]) return std::nullopt;
  }
  return zero;
}

void move_clips_before_quantizers(Graph& graph) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "clip") || !node.input(0).valid() || graph.is_output(node.output())) continue;
    const Node* quantizer = graph.producer(node.input(0));
    const bool alone = quantizer != nullptr && graph.sole_use(node.input(0)) != nullptr;
    if (!alone || !is_op(*quantizer, "quantize_linear")) continue;
    const ClipBounds bounds = clip_bounds(graph, node);
    if (bounds.low && bounds.high) move_clip(graph, id, bounds);
  }
  update_types(graph);
}

void check_qdq_pairs(const Graph& graph) { PairChecker(graph).run(); }

}  // namespace amct
