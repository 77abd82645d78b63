#include "passes/quantize/qdq_to_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_constants.h"
#include "passes/quantize/qdq_movement.h"
#include "passes/quantize/qdq_pairs.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

bool dequantizes(const Node* node) { return node != nullptr && is_op(*node, "dequantize_linear"); }

// The pair that feeds a layer: its DequantizeLinear, and where the layer's path leaves it.
struct Source {
  NodeId dequantizer;
  Use first;          // the use of the DequantizeLinear's result on the way to the layer
  bool alone = true;  // nothing else reads that way
};

class Converter {
 public:
  explicit Converter(Graph& graph) : graph_(graph) {}

  QdqConversion run() {
    move_clips_before_quantizers(graph_);
    move_quantizers_behind_movement(graph_);
    check_qdq_pairs(graph_);
    stored_ = restore_qdq_constants(graph_);
    update_types(graph_);
    result_.plan = plan_layers(graph_);
    find_dequantizers();
    for (LayerPlan& layer : result_.plan.layers) {
      if (!layer.quantize) continue;
      layer.reason = assign(layer);
      layer.quantize = layer.reason.empty();
    }
    replace_remaining();
    update_types(graph_);
    for (LayerPlan& layer : result_.plan.layers) {
      layer.tensor = graph_.value(quantized_input(graph_, graph_.find_node(layer.name))).name;
    }
    return std::move(result_);
  }

 private:
  // Gives the layer its factors and takes the pair off its input, or says why it stays float.
  std::string assign(LayerPlan& layer) {
    const NodeId id = graph_.find_node(layer.name);
    if (!layer.weight) return "without weights it computes in floating point";
    const auto source = source_of(id);
    if (!source) return "its input is not quantized";
    const QdqFactors input = read_qdq_factors(graph_, graph_.node(source->dequantizer));
    if (bit_width(input.integer) > 16) return fmt::format("its input is {}", name_of(input.integer));
    const int64_t zero = *common_zero(input);
    if (zero != 0 && !layer.activation.asymmetric) return "the operator allows no offset, its input has one";
    layer.activation.bits = bit_width(input.integer);
    layer.activation.factor = ScaleOffset{std::ranges::max(input.scales), static_cast<int32_t>(zero)};
    layer.activation.fixed = true;
    if (std::string reason = assign_weight(layer, id); !reason.empty()) return reason;
    if (!input.per_tensor()) balance(layer, input, output_channels(graph_, id));
    if (std::string reason = assign_bias(layer, id); !reason.empty()) return reason;
    if (source->alone) {
      graph_.set_input(source->first.node, source->first.port,
                       graph_.producer(graph_.node(source->dequantizer).input(0))->input(0));
    }
    return {};
  }

  std::optional<Source> source_of(NodeId layer) {
    Source source{.dequantizer = kNoNode, .first = {layer, 0}};
    for (;;) {
      const ValueId value = graph_.node(source.first.node).input(0);
      const Node* producer = value.valid() ? graph_.producer(value) : nullptr;
      if (dequantizes(producer)) {
        source.dequantizer = graph_.value(value).producer;
        source.alone = source.alone && (source.first.node == layer || graph_.sole_use(value) != nullptr);
        return source;
      }
      if (producer == nullptr || !moves(*producer)) {
        source.dequantizer = dequantizer_of(value);
        source.alone = false;
        return source.dequantizer.valid() ? std::optional(source) : std::nullopt;
      }
      source.alone = source.alone && graph_.sole_use(value) != nullptr;
      source.first = {graph_.value(value).producer, 0};
    }
  }

  bool moves(const Node& node) const {
    return !node.is_opaque() && (node.row->quant.kind() == QuantRule::Kind::kPassThrough || is_zero_pad(graph_, node));
  }

  // Fills `dequantizers_`: by value, a DequantizeLinear with the factors that all of it has, also where it is put
  // together from several (channel shuffle): quantized once more with them, it keeps its integers.
  void find_dequantizers() {
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      if (node.is_opaque()) continue;
      NodeId found = kNoNode;
      if (dequantizes(&node)) {
        found = id;
      } else if (moves(node)) {
        found = dequantizer_of(node.input(0));
      } else if (node.row->quant.kind() == QuantRule::Kind::kSameScaleAll) {
        found = common_dequantizer(node);
      }
      if (!found.valid()) continue;
      for (const ValueId output : node.outputs) dequantizers_.emplace(output, found);
    }
  }

  NodeId dequantizer_of(ValueId value) const {
    const auto known = dequantizers_.find(value);
    return known == dequantizers_.end() ? kNoNode : known->second;
  }

  NodeId common_dequantizer(const Node& join) const {
    NodeId common = kNoNode;
    for (const ValueId input : join.inputs) {
      const NodeId id = dequantizer_of(input);
      if (!id.valid()) return kNoNode;
      if (!common.valid()) common = id;
      const QdqFactors factors = read_qdq_factors(graph_, graph_.node(id));
      if (!factors.per_tensor() || factors != read_qdq_factors(graph_, graph_.node(common))) return kNoNode;
    }
    return common;
  }

  std::string assign_weight(LayerPlan& layer, NodeId id) {
    const auto& rule = graph_.node(id).row->quant.compute_rule();
    const ValueId value = graph_.node(id).input(rule.weight_port);
    const auto at = stored_.find(value);
    if (at == stored_.end()) return "its weight is not quantized";
    const QdqFactors& factors = at->second.factors;
    const int bits = bit_width(factors.integer);
    if (bits > 8) return fmt::format("its weight is {}", name_of(factors.integer));
    if (factors.block != 0) return "its weight has scales for blocks";
    if (std::ranges::any_of(factors.zeros, [](int64_t zero) { return zero != 0; })) return "its weight has an offset";
    const int axis = rule.channel_axis_for(graph_, graph_.node(id));
    const auto count = static_cast<int64_t>(factors.scales.size());
    if (count > 1) {
      if (factors.axis != axis) return fmt::format("its weight has scales along axis {}, not {}", factors.axis, axis);
      if (!takes_scale_per_channel(graph_, id)) return "its weight has a scale per column, its result is no matrix";
    }
    layer.weight->bits = bits;
    layer.weight->per_channel = count > 1;
    layer.weight->scales = factors.scales;
    const Tensor again = integer_weights(*graph_.constant(value), *layer.weight, axis);
    return again.to_int64s() == at->second.integers ? "" : "its weight's scales are too small for float32";
  }

  // Several scales in front of a depthwise convolution are one scale and a balanced layer (passes/quantize/dmq.h):
  //   x / s_c = (x / f_c) / s,   w f_c = q (s_w f_c),   f_c = s_c / s,   s the largest of the s_c
  void balance(LayerPlan& layer, const QdqFactors& input, int64_t outputs) {
    const ScaleOffset& common = *layer.activation.factor;
    for (const float scale : input.scales) layer.balance_factors.push_back(scale / common.scale);
    const auto other = std::ranges::count_if(input.zeros, [&](int64_t zero) { return zero != common.offset; });
    if (other > 0) {
      result_.plan.warnings.push_back(fmt::format(
          "{} channels of the input of '{}' get the zero point of the others: their range is less than a step of those",
          other, layer.name));
    }
    const std::vector<float> own = std::move(layer.weight->scales);
    const size_t multiplier = static_cast<size_t>(outputs) / input.scales.size();
    layer.weight->scales.clear();
    for (size_t o = 0; o < static_cast<size_t>(outputs); ++o) {
      layer.weight->scales.push_back(own[own.size() == 1 ? 0 : o] * layer.balance_factors[o / multiplier]);
    }
    layer.weight->per_channel = true;
  }

  std::string assign_bias(LayerPlan& layer, NodeId id) {
    const ValueId bias = bias_of(graph_, id);
    if (!bias.valid()) return {};
    const auto scales = dequant_scales(layer.activation.factor->scale, layer.weight->scales);
    const int64_t channels = output_channels(graph_, id);
    const auto at = stored_.find(bias);
    if (at != stored_.end() && fits(at->second, scales)) {
      const std::vector<int64_t>& integers = at->second.integers;
      for (int64_t i = 0; i < channels; ++i) {
        layer.integer_bias.push_back(static_cast<int32_t>(integers[integers.size() == 1 ? 0 : i]));
      }
      return {};
    }
    try {
      integer_bias(*graph_.constant(bias), scales, channels, layer.name);
    } catch (const Error& error) {
      return error.message();
    }
    if (at != stored_.end()) {
      result_.plan.warnings.push_back(
          fmt::format("the bias of '{}' is rounded again: its scale is not that of its input times that of its weight",
                      layer.name));
    }
    return {};
  }

  // True if the integers of a bias count in the layer's sums; the scales may differ in their last bits.
  static bool fits(const StoredConstant& bias, const std::vector<float>& sums) {
    const QdqFactors& factors = bias.factors;
    if (factors.integer != DType::kInt32 || factors.block != 0) return false;
    if (std::ranges::any_of(factors.zeros, [](int64_t zero) { return zero != 0; })) return false;
    if (factors.scales.size() != 1 && sums.size() != 1 && factors.scales.size() != sums.size()) return false;
    for (size_t i = 0; i < std::max(factors.scales.size(), sums.size()); ++i) {
      const float own = factors.scales[factors.scales.size() == 1 ? 0 : i];
      const float sum = sums[sums.size() == 1 ? 0 : i];
      if (std::abs(own - sum) > 1e-6f * sum) return false;
    }
    return true;
  }

  void replace_remaining() {
    for (const NodeId id : graph_.topological_order()) {
      if (!graph_.alive(id) || !is_op(graph_.node(id), "quantize_linear")) continue;
      const QdqFactors factors = read_qdq_factors(graph_, graph_.node(id));
      const ValueId integers = graph_.node(id).output();
      const std::vector<Use> uses = graph_.value(integers).uses;
      bool wanted = graph_.is_output(integers);
      for (const Use& use : uses) wanted = replace_dequantizer(use.node, factors) || wanted;
      if (!wanted) {
        graph_.erase_node(id);
        continue;
      }
      const ValueId x = graph_.node(id).input(0);
      replace(id, "ascend_quant", x,
              {{"scale", static_cast<double>(1.0f / factors.scales[0])},
               {"offset", static_cast<double>(factors.zeros[0])},
               {"dst_type", integer_type_name(bit_width(factors.integer))}});
    }
  }

  // Throws Error(kUnsupported) that names the layers behind a pair with a scale per channel that did not take it.
  [[noreturn]] void refuse_channel_scales(NodeId dequantizer) const {
    std::string reasons;
    for (const Use& use : graph_.value(graph_.node(dequantizer).output()).uses) {
      const LayerPlan* layer = result_.plan.find(graph_.node(use.node).name);
      if (layer != nullptr) reasons += fmt::format("; '{}' stays float: {}", layer->name, layer->reason);
    }
    const Node& node = graph_.node(dequantizer);
    throw Error(ErrorCode::kUnsupported,
                "an activation has more than one scale, which only quantized layers take" + reasons,
                {.model = graph_.info.path, .node = node.name, .op = node.origin.op});
  }

  // False if nothing reads it any more: it is gone then.
  bool replace_dequantizer(NodeId id, const QdqFactors& factors) {
    const ValueId output = graph_.node(id).output();
    if (graph_.value(output).uses.empty() && !graph_.is_output(output)) {
      graph_.erase_node(id);
      return false;
    }
    if (!factors.per_tensor()) refuse_channel_scales(id);
    replace(id, "ascend_anti_quant", graph_.node(id).input(0),
            {{"scale", static_cast<double>(factors.scales[0])},
             {"offset", static_cast<double>(-factors.zeros[0])},
             {"dst_type", integer_type_name(bit_width(factors.integer))}});
    ++result_.anti_quantized;
    return true;
  }

  void replace(NodeId id, std::string_view op, ValueId input, Attrs attrs) {
    const std::vector<ValueId> before = graph_.node(id).inputs;
    graph_.set_inputs(id, {input});
    graph_.set_op(id, op, &op_table().get(op), std::move(attrs));
    erase_unused_constants(graph_, before);
  }

  Graph& graph_;
  std::unordered_map<ValueId, StoredConstant> stored_;
  std::unordered_map<ValueId, NodeId> dequantizers_;
  QdqConversion result_;
};

}  // namespace

QdqConversion qdq_to_plan(Graph& graph) { return Converter(graph).run(); }

}  // namespace amct
