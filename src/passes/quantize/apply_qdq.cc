#include "passes/quantize/apply_qdq.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/onnx_types.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_recurrent.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/qdq_weights.h"

namespace amct {
namespace {

struct Quantizer {
  float scale = 1;
  int32_t zero = 0;  // in the target's type
  int bits = 8;
};

class Applier {
 public:
  Applier(Graph source, const Plan& plan, const QdqTarget& target)
      : plan_(plan), target_(target), graph_(std::move(source)) {}

  Graph run() {
    if (plan_.weight_only) return run_weights();
    const std::vector<QdqPlace> places = qdq_places(graph_, plan_, target_);
    const FactorTensors factors(graph_, plan_, places);
    index_activations();
    for (const QdqPlace& place : places) {
      if (place.absorbed) absorbed_[place.source].push_back(*place.absorbed);
    }
    std::vector<Quantizer> quantizers;
    Faults faults;
    for (const QdqPlace& place : places) {
      try {
        quantizers.push_back(quantizer_for(place, factors.of(place.source)));
        quantizers.back().scale = stored_scale(quantizers.back().scale, scale_type(place.value, quantizers.back()));
      } catch (const Error& error) {
        faults.add(error.with({.model = graph_.info.path}));
      }
    }
    faults.throw_if_any();
    for (size_t i = 0; i < places.size(); ++i) by_value_.emplace(places[i].value, quantizers[i]);
    for (const LayerPlan& layer : plan_.layers) {
      if (layer.quantize) quantize_constants(layer);
    }
    std::vector<std::pair<const LayerPlan*, ValueId>> own;  // and what they read in floats
    for (const LayerPlan& layer : plan_.layers) {
      if (has_own_pair(layer)) own.emplace_back(&layer, graph_.node(graph_.find_node(layer.name)).input(0));
    }
    for (size_t i = 0; i < places.size(); ++i) quantize_value(places[i], quantizers[i]);
    for (const auto& [layer, value] : own) quantize_input(*layer, value);
    int64_t& opset = graph_.info.opsets[""];
    opset = std::max(opset, least_opset());
    update_types(graph_);
    return std::move(graph_);
  }

 private:
  Graph run_weights() {
    for (const LayerPlan& layer : plan_.layers) {
      if (!layer.quantize || !layer.weight) continue;
      const NodeId id = graph_.find_node(layer.name);
      if (!id.valid()) {
        throw Error(ErrorCode::kConfig, "the plan names a layer that the model does not have", {.node = layer.name});
      }
      layer.hidden ? apply_recurrent_qdq(graph_, id, layer) : quantize_layer_weight(graph_, layer, target_);
    }
    int64_t& opset = graph_.info.opsets[""];
    opset = std::max(opset, least_opset());
    update_types(graph_);
    return std::move(graph_);
  }

  // The first layer that a tensor feeds decides; tensors of their own come behind.
  void index_activations() {
    for (const LayerPlan& layer : plan_.layers) {
      if (layer.quantize && !has_own_pair(layer)) activations_.try_emplace(layer.tensor, &layer.activation);
      if (layer.quantize && layer.second) activations_.try_emplace(layer.second_tensor, &*layer.second);
    }
    for (const TensorPlan& entry : plan_.tensors) activations_.try_emplace(entry.tensor, &entry.activation);
  }

  Quantizer quantizer_of(const ActivationPlan& activation) const {
    const ScaleOffset factor = *activation.factor;
    const int32_t half = 1 << (activation.bits - 1);
    if (target_.symmetric && factor.offset != 0) {
      const float low = factor.scale * static_cast<float>(-half - factor.offset);
      const float high = factor.scale * static_cast<float>(half - 1 - factor.offset);
      return {std::max(-low, high) / static_cast<float>(half - 1), 0, activation.bits};
    }
    return {factor.scale, target_.unsigned_activations ? factor.offset + half : factor.offset, activation.bits};
  }

  Quantizer quantizer_for(const QdqPlace& place, const std::string& tensor) const {
    const auto at = activations_.find(tensor);
    if (at == activations_.end() || !at->second->factor) {
      throw Error(ErrorCode::kConfig, fmt::format("the plan has no factor for value '{}'", tensor), {},
                  "calibrate first");
    }
    Quantizer quantizer = quantizer_of(*at->second);
    const auto ranges = absorbed_.find(place.source);
    if (ranges == absorbed_.end()) return quantizer;
    for (const AbsorbedRange& range : ranges->second) {  // one factor for all places of a source: inside every range
      quantizer = inside(quantizer, range);
    }
    return quantizer;
  }

  float lowest(const Quantizer& q) const { return q.scale * static_cast<float>(least(q) - q.zero); }
  float highest(const Quantizer& q) const {
    return q.scale * static_cast<float>(least(q) + (1 << q.bits) - 1 - q.zero);
  }
  int32_t least(const Quantizer& q) const { return target_.unsigned_activations ? 0 : -(1 << (q.bits - 1)); }

  // A range that passes a Clip's wastes integers and keeps the Clip from vanishing.
  Quantizer inside(Quantizer q, const AbsorbedRange& range) const {
    if (range.low == 0 && q.zero == least(q) && highest(q) > range.high)
      q.scale = range.high / static_cast<float>((1 << q.bits) - 1);
    return q;
  }

  // True if the clip does nothing that the quantizer's saturation would not: within half a step no integer changes.
  bool covers(const Quantizer& q, const AbsorbedRange& range) const {
    const float slack = 0.5f * q.scale;
    return lowest(q) >= range.low - slack && highest(q) <= range.high + slack &&
           !(range.low == 0 && q.zero != least(q));
  }

  DType type_of(const Quantizer& q) const {
    const bool is_unsigned = target_.unsigned_activations;
    if (q.bits == 4) return is_unsigned ? DType::kUInt4 : DType::kInt4;
    if (q.bits == 16) return is_unsigned ? DType::kUInt16 : DType::kInt16;
    return is_unsigned ? DType::kUInt8 : DType::kInt8;
  }

  // Per axis needs opset 13, float16 data 19, 4 and 16 bits and blocks 21.
  int64_t least_opset() const {
    int64_t opset = 13;
    for (const NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      if (node.op != "quantize_linear" && node.op != "dequantize_linear") continue;
      const DType integer = graph_.value(node.input(2)).type.dtype;
      const bool blocks = attr_int(node, "block_size") != 0;
      if (graph_.value(node.input(1)).type.dtype == DType::kFloat16) opset = std::max<int64_t>(opset, 19);
      if (blocks || bit_width(integer) == 4 || bit_width(integer) == 16) opset = 21;
    }
    return opset;
  }

  // The scale's type is that of the division. 16 bits do not fit float16: such data is cast around the pair.
  DType scale_type(ValueId value, const Quantizer& q) const {
    const bool half = graph_.value(value).type.dtype == DType::kFloat16;
    return half && q.bits <= 8 ? DType::kFloat16 : DType::kFloat32;
  }

  ValueId cast(ValueId x, const std::string& name, DType to) {
    return graph_.node(add_op(graph_, name, "cast", {x}, {{"to", int64_t{onnx_code(to)}}})).output();
  }

  void quantize_value(const QdqPlace& place, const Quantizer& q) {
    ValueId value = place.value;
    const std::string name = graph_.value(value).name;
    if (place.absorbed && covers(q, *place.absorbed)) {
      const ValueId before = graph_.node(place.absorbed->node).input(0);
      graph_.replace_uses(value, before);
      graph_.erase_node(place.absorbed->node);
      value = before;
    }
    const auto [quantize, back] = add_pair(value, name, q);
    graph_.replace_uses(value, back);
    graph_.set_input(quantize, 0, value);
  }

  // Layers that read one value with one factor share the pair.
  void quantize_input(const LayerPlan& layer, ValueId value) {
    const NodeId id = graph_.find_node(layer.name);
    if (!graph_.alive(value)) value = graph_.node(id).input(0);  // its activation went into another pair
    const Quantizer q = own_quantizer(layer, value);
    auto [at, is_new] = own_.try_emplace({value, q.scale, q.zero}, kNoValue);
    if (is_new) at->second = add_pair(value, layer.name + ".int4", q).second;
    graph_.set_input(id, 0, at->second);
  }

  Quantizer own_quantizer(const LayerPlan& layer, ValueId value) const {
    if (!layer.activation.factor) {
      throw Error(ErrorCode::kConfig, "the plan has no factors for this layer",
                  {.model = graph_.info.path, .node = layer.name}, "calibrate first");
    }
    Quantizer q = quantizer_of(layer.activation);
    q.scale = stored_scale(q.scale, scale_type(value, q));
    return q;
  }

  // The first node of the pair, of which a value follows that it reads, and what comes out of the last.
  std::pair<NodeId, ValueId> add_pair(ValueId value, const std::string& name, const Quantizer& q) {
    const DType type = scale_type(value, q);
    const bool casts = graph_.value(value).type.dtype == DType::kFloat16 && type != DType::kFloat16;
    const float stored[] = {q.scale};
    const ValueId scale = graph_.add_constant(name + ".scale", scale_tensor({}, stored, type));
    const ValueId zero = graph_.add_constant(name + ".zero_point", Tensor::scalar<int64_t>(q.zero).cast(type_of(q)));
    const ValueId x = casts ? cast(value, name + ".widen", type) : value;
    const NodeId quantize = add_op(graph_, name + ".quantize", "quantize_linear", {x, scale, zero});
    const ValueId integers = graph_.node(quantize).output();
    ValueId back =
        graph_.node(add_op(graph_, name + ".dequantize", "dequantize_linear", {integers, scale, zero})).output();
    if (casts) back = cast(back, name + ".narrow", DType::kFloat16);
    return {casts ? graph_.value(x).producer : quantize, back};
  }

  void quantize_constants(const LayerPlan& layer) {
    const NodeId id = graph_.find_node(layer.name);
    if (!id.valid()) {
      throw Error(ErrorCode::kConfig, "the plan names a layer that the model does not have", {.node = layer.name});
    }
    if (!layer.weight) return;
    if (layer.hidden) return apply_recurrent_qdq(graph_, id, layer);
    if (has_own_pair(layer)) {
      const float scale = own_quantizer(layer, graph_.node(id).input(0)).scale;
      return quantize_layer_constants(graph_, layer, scale, target_);
    }
    const auto input = by_value_.find(graph_.node(id).input(0));
    AMCT_CHECK(input != by_value_.end(), "the input of a quantized layer is quantized");
    quantize_layer_constants(graph_, layer, input->second.scale, target_);
  }

  const Plan& plan_;
  const QdqTarget& target_;
  Graph graph_;
  std::unordered_map<ValueId, Quantizer> by_value_;
  std::unordered_map<std::string, const ActivationPlan*> activations_;  // by tensor
  std::unordered_map<ValueId, std::vector<AbsorbedRange>> absorbed_;    // by source
  std::map<std::tuple<ValueId, float, int32_t>, ValueId> own_;          // pairs of layers alone: what comes out
};

}  // namespace

Graph apply_qdq(Graph graph, const Plan& plan, const QdqTarget& target) {
  return Applier(std::move(graph), plan, target).run();
}

}  // namespace amct
