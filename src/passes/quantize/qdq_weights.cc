#include "passes/quantize/qdq_weights.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ir/half.h"
#include "ops/convolution.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/plan_layers.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr float kLeastHalf = 0x1p-24f;        // the smallest positive float16
constexpr float kLeastNormalHalf = 0x1p-14f;  // below it float16 loses bits

class LayerConstants {
 public:
  LayerConstants(Graph& graph, const LayerPlan& layer, const QdqTarget& target)
      : graph_(graph), layer_(layer), target_(target), id_(graph.find_node(layer.name)), plan_(*layer.weight) {
    const DType dtype = graph.constant(graph.node(id_).input(rule().weight_port))->dtype();
    dtype_ = dtype == DType::kFloat16 ? dtype : DType::kFloat32;
    for (float& scale : plan_.scales) scale = stored_scale(scale, dtype_);
  }

  void run(float input_scale) {
    const ValueId bias = bias_of(graph_, id_);
    const bool own_bias = bias.valid() && !bias_add_of(graph_, id_).valid();  // an Add keeps its float addend
    if (own_bias && target_.integer_bias && dtype_ == DType::kFloat32 && plan_.group == 0) {
      quantize_bias(*graph_.constant(bias), input_scale);
    }
    quantize_weight();
  }

  void quantize_weight() {
    const ValueId weight = graph_.node(id_).input(rule().weight_port);
    const Tensor& values = *graph_.constant(weight);
    const int axis = rule().channel_axis_for(graph_, graph_.node(id_));
    Storage storage{.axis = axis};
    const bool transposed = graph_.node(id_).row->attr("weight_layout") != nullptr;
    const int64_t groups = transposed ? attr_int(graph_.node(id_), "group") : 1;
    if (groups > 1 && plan_.scales.size() > 1) {
      const ValueId fresh =
          graph_.add_constant(layer_.name + ".weight", fake_quantized(values, plan_, axis).cast(values.dtype()));
      graph_.value(fresh).origin = graph_.value(weight).origin;
      return replace_input(graph_, id_, rule().weight_port, fresh);
    }
    const DType type = plan_.bits == 4 && target_.packed_int4 ? DType::kInt4 : DType::kInt8;
    Tensor integers;
    Dims dims = dims_of(plan_.scales);
    if (plan_.group > 0) {
      storage = {.axis = group_axis(values.dims(), axis), .block = plan_.group};
      dims = group_scale_dims(values.dims(), plan_, axis);
    }
    if (transposed) {
      integers = swap_in_out(integer_weights(values, plan_, axis), groups).cast(type);
      graph_.node(id_).attrs.set("weight_layout", std::string("in_out"));
      storage.axis = 1;
    } else {
      integers = when_needed(values, type, values.dims(), [plan = plan_, axis, type](const Tensor& tensor) {
        return integer_weights(tensor, plan, axis).cast(type);
      });
    }
    Tensor zeros = Tensor::of<int8_t>(dims, std::vector<int8_t>(plan_.scales.size(), 0)).cast(type);
    replace_input(graph_, id_, rule().weight_port,
                  dequantized(layer_.name + ".weight", std::move(integers), scale_tensor(dims, plan_.scales, dtype_),
                              std::move(zeros), storage));
  }

 private:
  const QuantRule::Compute& rule() const { return graph_.node(id_).row->quant.compute_rule(); }

  void quantize_bias(const Tensor& bias, float input_scale) {
    const std::vector<float> scales = dequant_scales(input_scale, plan_.scales);
    Tensor integers = integer_bias(bias, scales, output_channels(graph_, id_), layer_.name);
    const Dims dims = dims_of(scales);
    Tensor zeros = Tensor::of<int32_t>(dims, std::vector<int32_t>(scales.size(), 0));
    replace_input(graph_, id_, rule().bias_port,
                  dequantized(layer_.name + ".bias", std::move(integers), Tensor::of<float>(dims, scales),
                              std::move(zeros), {.axis = 0}));
  }

  struct Storage {
    int64_t axis = 0;
    int64_t block = 0;
  };

  static Dims dims_of(const std::vector<float>& scales) {
    return scales.size() == 1 ? Dims{} : Dims{static_cast<int64_t>(scales.size())};
  }

  ValueId dequantized(const std::string& name, Tensor integers, Tensor scales, Tensor zeros, Storage storage) {
    Attrs attrs;
    if (scales.rank() > 0) attrs.set("axis", storage.axis);
    if (storage.block > 0) attrs.set("block_size", storage.block);
    const ValueId values = graph_.add_constant(name + ".quantized", std::move(integers));
    const ValueId scale = graph_.add_constant(name + ".scale", std::move(scales));
    const ValueId zero = graph_.add_constant(name + ".zero_point", std::move(zeros));
    const NodeId id = add_op(graph_, name + ".dequantize", "dequantize_linear", {values, scale, zero}, attrs);
    return graph_.node(id).output();
  }

  Graph& graph_;
  const LayerPlan& layer_;
  const QdqTarget& target_;
  NodeId id_;
  WeightPlan plan_;  // with the scales as they are stored
  DType dtype_ = DType::kFloat32;
};

}  // namespace

float stored_scale(float scale, DType dtype) {
  if (dtype != DType::kFloat16) return scale;
  const auto rounded = static_cast<float>(static_cast<Half>(scale));
  // Too small a scale would cut the range off, noticeably where float16 has few bits left.
  return rounded < scale && scale < kLeastNormalHalf ? rounded + kLeastHalf : rounded;
}

Tensor scale_tensor(const Dims& dims, std::span<const float> scales, DType dtype) {
  const Tensor result = Tensor::of<float>(dims, std::vector<float>(scales.begin(), scales.end()));
  return dtype == DType::kFloat16 ? result.cast(dtype) : result;
}

void quantize_layer_constants(Graph& graph, const LayerPlan& layer, float input_scale, const QdqTarget& target) {
  LayerConstants(graph, layer, target).run(input_scale);
}

void quantize_layer_weight(Graph& graph, const LayerPlan& layer, const QdqTarget& target) {
  LayerConstants(graph, layer, target).quantize_weight();
}

}  // namespace amct
