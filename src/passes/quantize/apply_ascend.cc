#include "passes/quantize/apply_ascend.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "ops/convolution.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_recurrent.h"
#include "passes/quantize/drop_upper_clips.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/plan_layers.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

Tensor transposed(const Tensor& matrix) {
  const Dims& dims = matrix.dims();
  Tensor result = Tensor::allocate(matrix.dtype(), {dims[1], dims[0]});
  const auto from = matrix.values<int8_t>();
  const auto to = result.mutable_values<int8_t>();
  for (int64_t i = 0; i < dims[0]; ++i) {
    for (int64_t j = 0; j < dims[1]; ++j) to[j * dims[0] + i] = from[i * dims[1] + j];
  }
  return result;
}

class Applier {
 public:
  Applier(Graph source, const Plan& plan, PassReport& report)
      : plan_(plan), graph_(std::move(source)), report_(report) {}

  Graph run() {
    index_quantizers();
    Faults faults;
    for (const LayerPlan& layer : plan_.layers) {
      if (!layer.quantize) continue;
      try {
        apply(layer);
      } catch (const Error& error) {
        faults.add(error.with({.model = graph_.info.path, .node = layer.name, .op = layer.op}));
      }
    }
    for (const TensorPlan& tensor : plan_.tensors) {
      for (const InputUse& use : tensor.uses) {
        try {
          quantize_use(tensor, use);
        } catch (const Error& error) {
          faults.add(error.with({.model = graph_.info.path, .node = use.node}));
        }
      }
    }
    faults.throw_if_any();
    quantize_pools();
    drop_upper_clips(graph_, report_);
    int64_t& opset = graph_.info.opsets[""];
    opset = std::max<int64_t>(opset, 11);
    update_types(graph_);
    return std::move(graph_);
  }

 private:
  void apply(const LayerPlan& layer) {
    const NodeId id = graph_.find_node(layer.name);
    if (!id.valid()) throw Error(ErrorCode::kConfig, "the plan names a layer that the model does not have");
    if (layer.hidden) return apply_recurrent_ascend(graph_, id, layer);
    if (!layer.activation.factor || (layer.weight && layer.weight->scales.empty()) ||
        (layer.second && !layer.second->factor)) {
      throw Error(ErrorCode::kConfig, "the plan has no factors for this layer", {}, "calibrate first");
    }
    if (layer.weight && layer.weight->group > 0) return simulate_groups(layer, id);
    const float scale_d = layer.activation.factor->scale;
    const NodeId add = bias_add_of(graph_, id);
    const ValueId bias = bias_of(graph_, id);
    std::vector<float> factors = layer.weight ? layer.weight->scales : std::vector<float>();
    if (layer.second) factors = {layer.second->factor->scale};
    const auto scales = dequant_scales(scale_d, factors);
    // What can fail comes first, so that all layers' faults are found on a whole graph.
    Tensor bias_values;
    if (!layer.integer_bias.empty()) {
      bias_values = Tensor::of<int32_t>({static_cast<int64_t>(layer.integer_bias.size())}, layer.integer_bias);
    } else if (bias.valid()) {
      bias_values = integer_bias(*graph_.constant(bias), scales, output_channels(graph_, id), layer.name);
    }
    quantize_input(layer, id);
    if (layer.second)
      graph_.set_input(id, 1, quantized(graph_.node(id).input(1), *layer.second, layer.name + ".quant1"));
    if (layer.weight) replace_weight(*layer.weight, id);
    if (bias.valid()) replace_bias(id, add, bias, std::move(bias_values));
    dequantize(layer, add.valid() ? add : id, scales);
  }

  // A dequantization has one factor per output channel, so that sums over groups of weights have no integer form: the
  // layer computes with the floats that its integers stand for.
  void simulate_groups(const LayerPlan& layer, NodeId id) {
    quantize_input(layer, id);
    const Node& node = graph_.node(id);
    const auto& rule = node.row->quant.compute_rule();
    const ValueId weight = node.input(rule.weight_port);
    const Tensor& values = *graph_.constant(weight);
    const bool half = values.dtype() == DType::kFloat16;
    const int axis = rule.channel_axis_for(graph_, node);
    Tensor fake = when_needed(values, half ? DType::kFloat16 : DType::kFloat32, values.dims(),
                              [plan = *layer.weight, axis, half](const Tensor& tensor) {
                                const Tensor floats = fake_quantized(tensor, plan, axis);
                                return half ? floats.cast(DType::kFloat16) : floats;
                              });
    const ScaleOffset factor = *layer.activation.factor;
    const std::string name = layer.name + ".antiquant";
    const NodeId back = add_op(graph_, name, "ascend_anti_quant", {node.input(0)},
                               {{"scale", static_cast<double>(factor.scale)},
                                {"offset", static_cast<double>(-factor.offset)},
                                {"dst_type", integer_type_name(layer.activation.bits)},
                                {"dtype", int64_t{half ? 1 : 0}}},
                               name + ".output0");
    graph_.set_input(id, 0, graph_.node(back).output());
    const ValueId fresh = graph_.add_constant(layer.name + ".sub_module.weight", std::move(fake));
    replace_input(graph_, id, rule.weight_port, fresh);
  }

  // Those that the graph has already (of pairs in a model that was quantized elsewhere) serve layers too.
  void index_quantizers() {
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      if (node.op == "ascend_quant") shared_.try_emplace(key_of(node.input(0), node.attrs), node.output());
    }
  }

  using QuantizerKey = std::tuple<ValueId, double, double, std::string>;
  static QuantizerKey key_of(ValueId input, const Attrs& attrs) {
    return {input, attrs.get<double>("scale", 1), attrs.get<double>("offset", 0),
            attrs.get<std::string>("dst_type", "INT8")};
  }

  ValueId quantized(ValueId input, const ActivationPlan& activation, const std::string& name) {
    const ScaleOffset factor = *activation.factor;
    const Attrs attrs = {{"scale", static_cast<double>(1.0f / factor.scale)},
                         {"offset", static_cast<double>(factor.offset)},
                         {"dst_type", integer_type_name(activation.bits)}};
    return quantized(input, attrs, factor.scale, name);
  }

  // The integers of a value, from a new quantizer called `name` if there is none yet with these numbers.
  ValueId quantized(ValueId input, const Attrs& attrs, float scale, const std::string& name) {
    auto [at, is_new] = shared_.try_emplace(key_of(input, attrs), kNoValue);
    if (is_new) {
      const NodeId quant = add_op(graph_, name, "ascend_quant", {input}, attrs, name + ".output0");
      at->second = graph_.node(quant).output();
      scales_.emplace(at->second, scale);
    }
    return at->second;
  }

  // An input of an operator without weights: floats again behind the quantizer, for the compiler to take away.
  void quantize_use(const TensorPlan& tensor, const InputUse& use) {
    const NodeId id = graph_.find_node(use.node);
    const auto port = static_cast<size_t>(use.input);
    if (!id.valid() || !graph_.node(id).input(port).valid()) {
      throw Error(ErrorCode::kConfig, fmt::format("the plan names an input {} that the model does not have", port));
    }
    if (!tensor.activation.factor) {
      throw Error(ErrorCode::kConfig, fmt::format("the plan has no factor for tensor '{}'", tensor.tensor), {},
                  "calibrate first");
    }
    const std::string name = fmt::format("{}.input{}", use.node, port);
    const ValueId integers = quantized(graph_.node(id).input(port), tensor.activation, name + ".quant");
    graph_.set_input(id, port, floats(integers, name + ".anti_quant"));
  }

  // A MaxPool whose input or result is quantized by one quantizer reads its integers: the largest of quantized values
  // is the quantized largest value.
  void quantize_pools() {
    std::vector<NodeId> order = graph_.topological_order();
    std::erase_if(order, [&](NodeId id) { return !is_open_pool(id); });
    for (auto at = order.rbegin(); at != order.rend(); ++at) {  // one pool after another: from the last
      const Node* behind = only_quantizer(graph_.node(*at).output(), true);
      if (behind != nullptr) read_integers(*at, *behind);
    }
    for (const NodeId id : order) {
      const Node* beside = is_open_pool(id) ? only_quantizer(graph_.node(id).input(0), false) : nullptr;
      if (beside != nullptr) read_integers(id, *beside);
    }
  }

  bool is_open_pool(NodeId id) const {
    const Node& node = graph_.node(id);
    if (node.op != "max_pool" || node.output(1).valid()) return false;
    const Node* producer = graph_.producer(node.input(0));
    return (producer == nullptr || producer->op != "ascend_anti_quant") &&
           graph_.value(node.output()).type.dtype == DType::kFloat32;
  }

  // The quantizer among the uses of a value if there is just one; with `alone`, if nothing else reads the value.
  const Node* only_quantizer(ValueId value, bool alone) const {
    const Node* found = nullptr;
    for (const Use& use : graph_.value(value).uses) {
      const Node& node = graph_.node(use.node);
      const bool quantizes = node.op == "ascend_quant";
      if ((quantizes && found != nullptr) || (!quantizes && alone)) return nullptr;
      if (quantizes) found = &node;
    }
    return alone && graph_.is_output(value) ? nullptr : found;
  }

  void read_integers(NodeId pool, const Node& quantizer) {
    const Attrs attrs = quantizer.attrs;
    const std::string name = graph_.node(pool).name + ".input0";
    const ValueId integers = quantized(graph_.node(pool).input(0), attrs, scale_of(quantizer), name + ".quant");
    graph_.set_input(pool, 0, floats(integers, name + ".anti_quant"));
    report_.applied(graph_.node(pool).name, "reads integers");
  }

  // scale_d of a quantizer; those of other files say only its inverse.
  float scale_of(const Node& quantizer) const {
    const auto at = scales_.find(quantizer.output());
    return at != scales_.end() ? at->second : 1.0f / static_cast<float>(attr_float(quantizer, "scale"));
  }

  ValueId floats(ValueId integers, const std::string& name) {
    auto [at, is_new] = floats_.try_emplace(integers, kNoValue);
    if (is_new) {
      const Node& quantizer = *graph_.producer(integers);
      const Attrs attrs = {{"scale", static_cast<double>(scale_of(quantizer))},
                           {"offset", -attr_float(quantizer, "offset")},
                           {"dst_type", attr_string(quantizer, "dst_type")}};
      at->second =
          graph_.node(add_op(graph_, name, "ascend_anti_quant", {integers}, attrs, name + ".output0")).output();
    }
    return at->second;
  }

  void quantize_input(const LayerPlan& layer, NodeId id) {
    const ValueId input = quantized_input(graph_, id);
    const ValueId integers = quantized(input, layer.activation, layer.name + ".quant");
    const Node& node = graph_.node(id);
    if (node.input(0) == input) return graph_.set_input(id, 0, integers);
    const NodeId pad = graph_.value(node.input(0)).producer;  // of the pool alone; its zero stays zero as an integer
    if (graph_.node(pad).input(2).valid()) graph_.set_input(pad, 2, kNoValue);
    graph_.set_input(pad, 0, integers);
  }

  void replace_weight(const WeightPlan& weight, NodeId id) {
    const auto& rule = graph_.node(id).row->quant.compute_rule();
    const int axis = rule.channel_axis_for(graph_, graph_.node(id));
    const ValueId old = graph_.node(id).input(rule.weight_port);
    Node& node = graph_.node(id);
    const bool transposes = node.op == "gemm" && attr_int(node, "transB") != 0;
    if (node.op == "gemm") node.attrs.set("transB", int64_t{0});
    const Tensor& floats = *graph_.constant(old);
    Dims dims = floats.dims();
    if (transposes) std::swap(dims[0], dims[1]);
    Tensor integers = when_needed(floats, DType::kInt8, dims, [weight, axis, transposes](const Tensor& tensor) {
      const Tensor result = integer_weights(tensor, weight, axis);
      return transposes ? transposed(result) : result;
    });
    const std::string name = node.name + ".sub_module.weight";
    const bool swapped = node.row->attr("weight_layout") != nullptr;  // exported under the name in its origin
    const ValueId fresh = graph_.add_constant(swapped ? name + ".out_in" : name, std::move(integers));
    if (swapped) graph_.value(fresh).origin = {name, kSwappedWeight};
    replace_input(graph_, id, rule.weight_port, fresh);
  }

  void replace_bias(NodeId layer, NodeId add, ValueId old, Tensor values) {
    const ValueId fresh = graph_.add_constant(graph_.node(layer).name + ".sub_module.bias", std::move(values));
    if (!add.valid())
      return replace_input(graph_, layer, graph_.node(layer).row->quant.compute_rule().bias_port, fresh);
    replace_input(graph_, add, graph_.node(add).input(0) == old ? 0 : 1, fresh);
  }

  void dequantize(const LayerPlan& layer, NodeId last, const std::vector<float>& scales) {
    const ValueId output = graph_.node(last).output();
    const bool was_output = graph_.is_output(output);
    const bool half = graph_.value(output).type.dtype == DType::kFloat16;
    const std::string name = layer.name + ".dequant";
    const ValueId parameter = graph_.add_constant(name + ".param", dequant_parameters(scales, layer.shifts));
    const NodeId dequant = add_op(graph_, name, "ascend_dequant", {output, parameter},
                                  {{"dtype", int64_t{half ? 1 : 0}}}, name + ".output0");
    graph_.replace_uses(output, graph_.node(dequant).output());
    graph_.set_input(dequant, 0, output);
    if (was_output) graph_.rename_value(output, graph_.fresh_value_name(layer.name + "_output0"));
  }

  const Plan& plan_;
  Graph graph_;
  PassReport& report_;
  std::map<QuantizerKey, ValueId> shared_;  // the integers of values
  std::map<ValueId, ValueId> floats_;       // of integers
  std::map<ValueId, float> scales_;         // scale_d of integers
};

}  // namespace

Graph apply_ascend(Graph graph, const Plan& plan, PassReport* report) {
  PassReport own;
  return Applier(std::move(graph), plan, report != nullptr ? *report : own).run();
}

}  // namespace amct
