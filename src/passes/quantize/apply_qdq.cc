#include "passes/quantize/apply_qdq.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "ops/convolution.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"

namespace amct {
namespace {

struct Quantizer {
  float scale = 1;
  int32_t zero = 0;  // in the target's type
  int bits = 8;
};

class Applier {
 public:
  Applier(const Graph& source, const Plan& plan, const QdqTarget& target)
      : plan_(plan), target_(target), graph_(source) {}

  Graph run() {
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
      } catch (const Error& error) {
        faults.add(error.with({.model = graph_.info.path}));
      }
    }
    faults.throw_if_any();
    for (size_t i = 0; i < places.size(); ++i) by_value_.emplace(places[i].value, quantizers[i]);
    for (const LayerPlan& layer : plan_.layers) {
      if (layer.quantize) quantize_constants(layer);
    }
    for (size_t i = 0; i < places.size(); ++i) quantize_value(places[i], quantizers[i]);
    int64_t& opset = graph_.info.opsets[""];
    opset = std::max<int64_t>(opset, uses_16_bits_ ? 21 : 13);
    update_types(graph_);
    return std::move(graph_);
  }

 private:
  // The first layer that a tensor feeds decides; tensors of their own come behind.
  void index_activations() {
    for (const LayerPlan& layer : plan_.layers) {
      if (layer.quantize) activations_.try_emplace(layer.tensor, &layer.activation);
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
    if (q.bits == 16) return target_.unsigned_activations ? DType::kUInt16 : DType::kInt16;
    return target_.unsigned_activations ? DType::kUInt8 : DType::kInt8;
  }

  std::vector<ValueId> with_parameters(ValueId x, const std::string& name, const Quantizer& q) {
    const ValueId scale = graph_.add_constant(name + ".scale", Tensor::scalar<float>(q.scale));
    const ValueId zero = graph_.add_constant(name + ".zero_point", Tensor::scalar<int64_t>(q.zero).cast(type_of(q)));
    return {x, scale, zero};
  }

  void quantize_value(const QdqPlace& place, const Quantizer& q) {
    ValueId value = place.value;
    uses_16_bits_ = uses_16_bits_ || q.bits == 16;
    const std::string name = graph_.value(value).name;
    if (place.absorbed && covers(q, *place.absorbed)) {
      const ValueId before = graph_.node(place.absorbed->node).input(0);
      graph_.replace_uses(value, before);
      graph_.erase_node(place.absorbed->node);
      value = before;
    }
    const std::vector<ValueId> inputs = with_parameters(value, name, q);
    const NodeId quantize = add_op(graph_, name + ".quantize", "quantize_linear", inputs);
    std::vector<ValueId> back = inputs;
    back[0] = graph_.node(quantize).output();
    const NodeId dequantize = add_op(graph_, name + ".dequantize", "dequantize_linear", back);
    graph_.replace_uses(value, graph_.node(dequantize).output());
    graph_.set_input(quantize, 0, value);
  }

  void quantize_constants(const LayerPlan& layer) {
    const NodeId id = graph_.find_node(layer.name);
    if (!id.valid()) {
      throw Error(ErrorCode::kConfig, "the plan names a layer that the model does not have", {.node = layer.name});
    }
    if (!layer.weight) return;
    const ValueId bias = bias_of(graph_, id);
    const int64_t channels = output_channels(graph_, id);
    const std::vector<float>& scales = layer.weight->scales;
    const bool own_bias = bias.valid() && !bias_add_of(graph_, id).valid();  // an Add keeps its float addend
    if (own_bias) quantize_bias(layer, id, bias, channels);
    const auto& rule = graph_.node(id).row->quant.compute_rule();
    const ValueId weight = graph_.node(id).input(rule.weight_port);
    const int axis = rule.channel_axis_for(graph_, graph_.node(id));
    Tensor integers = integer_weights(*graph_.constant(weight), *layer.weight, axis);
    int64_t stored_axis = axis;
    if (graph_.node(id).row->attr("weight_layout") != nullptr) {
      const int64_t groups = attr_int(graph_.node(id), "group");
      if (groups > 1 &&
          scales.size() > 1) {  // channels of one group share an index of the stored axis: no scale per index
        const Tensor fake = fake_quantized(*graph_.constant(weight), *layer.weight, axis);
        const ValueId fresh = graph_.add_constant(layer.name + ".weight", fake);
        graph_.value(fresh).origin = graph_.value(weight).origin;
        return replace_input(id, rule.weight_port, fresh);
      }
      integers = swap_in_out(integers, groups);
      graph_.node(id).attrs.set("weight_layout", std::string("in_out"));
      stored_axis = 1;
    }
    const std::string name = layer.name + ".weight";
    Tensor zeros = Tensor::of<int8_t>(scales.size() == 1 ? Dims{} : Dims{static_cast<int64_t>(scales.size())},
                                      std::vector<int8_t>(scales.size(), 0));
    const ValueId fresh = dequantized(name, std::move(integers), scales, std::move(zeros), stored_axis);
    replace_input(id, rule.weight_port, fresh);
  }

  void quantize_bias(const LayerPlan& layer, NodeId id, ValueId bias, int64_t channels) {
    const auto input = by_value_.find(graph_.node(id).input(0));
    AMCT_CHECK(input != by_value_.end(), "the input of a quantized layer is quantized");
    const std::vector<float> scales = dequant_scales(input->second.scale, layer.weight->scales);
    Tensor integers = integer_bias(*graph_.constant(bias), scales, channels, layer.name);
    const int port = graph_.node(id).row->quant.compute_rule().bias_port;
    Tensor zeros = Tensor::of<int32_t>(scales.size() == 1 ? Dims{} : Dims{static_cast<int64_t>(scales.size())},
                                       std::vector<int32_t>(scales.size(), 0));
    replace_input(id, port, dequantized(layer.name + ".bias", std::move(integers), scales, std::move(zeros), 0));
  }

  ValueId dequantized(const std::string& name, Tensor integers, const std::vector<float>& scales, Tensor zeros,
                      int64_t axis) {
    const Dims dims = scales.size() == 1 ? Dims{} : Dims{static_cast<int64_t>(scales.size())};
    const ValueId values = graph_.add_constant(name + ".quantized", std::move(integers));
    const ValueId scale = graph_.add_constant(name + ".scale", Tensor::of<float>(dims, scales));
    const ValueId zero = graph_.add_constant(name + ".zero_point", std::move(zeros));
    Attrs attrs;
    if (scales.size() > 1) attrs.set("axis", axis);
    const NodeId id = add_op(graph_, name + ".dequantize", "dequantize_linear", {values, scale, zero}, attrs);
    return graph_.node(id).output();
  }

  void replace_input(NodeId node, size_t port, ValueId fresh) {
    const ValueId old = graph_.node(node).input(port);
    graph_.set_input(node, port, fresh);
    if (graph_.value(old).uses.empty() && !graph_.is_output(old)) graph_.erase_value(old);
  }

  const Plan& plan_;
  const QdqTarget& target_;
  Graph graph_;
  std::unordered_map<ValueId, Quantizer> by_value_;
  std::unordered_map<std::string, const ActivationPlan*> activations_;  // by tensor
  std::unordered_map<ValueId, std::vector<AbsorbedRange>> absorbed_;    // by source
  bool uses_16_bits_ = false;
};

}  // namespace

Graph apply_qdq(const Graph& graph, const Plan& plan, const QdqTarget& target) {
  return Applier(graph, plan, target).run();
}

}  // namespace amct
