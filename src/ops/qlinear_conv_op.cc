// ConvInteger and QLinearConv of ONNX: the convolution of 8-bit integers less their zero points, pads counting as zero;
// the second one adds an int32 bias and requantizes: y = sat(round(sum * (x_scale * w_scale / y_scale)) +
// y_zero_point).
#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/checked_math.h"
#include "kernels/simd/int_conv.h"
#include "ops/integer_compute.h"
#include "ops/integer_epilogue.h"
#include "ops/integer_step.h"
#include "ops/quantized_operand.h"
#include "ops/window.h"

namespace amct {
namespace {

// Where the operands and their parameters stand among the inputs.
constexpr size_t kNone = std::numeric_limits<size_t>::max();
struct Ports {
  size_t x, w, x_zero, w_zero;
  size_t x_scale = kNone, w_scale = kNone, y_scale = kNone, y_zero = kNone, bias = kNone;
};
constexpr Ports kIntegerPorts{.x = 0, .w = 1, .x_zero = 2, .w_zero = 3};
constexpr Ports kLinearPorts{
    .x = 0, .w = 3, .x_zero = 2, .w_zero = 5, .x_scale = 1, .w_scale = 4, .y_scale = 6, .y_zero = 7, .bias = 8};

// `channels`: of the result, where known.
void check_parameters(const InferContext& c, const Ports& ports, std::optional<int64_t> channels) {
  check_zero_type(c, ports.x_zero, ports.x);
  check_zero_type(c, ports.w_zero, ports.w);
  check_entries(c, ports.x_zero, {1});
  if (channels) check_entries(c, ports.w_zero, {1, *channels});
  if (ports.w_scale == kNone) return;
  for (const size_t port : {ports.x_scale, ports.w_scale, ports.y_scale}) check_scale_type(c, port);
  for (const size_t port : {ports.x_scale, ports.y_scale, ports.y_zero}) check_entries(c, port, {1});
  check_8_bits(c, ports.y_zero);
  if (channels) check_entries(c, ports.w_scale, {1, *channels});
  if (channels) check_entries(c, ports.bias, {*channels});
  if (c.has(ports.bias) && c.dtype(ports.bias) != DType::kInt32 && c.dtype(ports.bias) != DType::kUndefined) {
    c.fail(fmt::format("the bias is {}; int32 is needed", name_of(c.dtype(ports.bias))));
  }
}

void infer_conv(InferContext& c, const Ports& ports, DType dtype) {
  check_8_bits(c, ports.x);
  check_8_bits(c, ports.w);
  const Shape& x = c.shape(ports.x);
  const auto w = c.shape(ports.w).fixed();
  check_parameters(c, ports, w && !w->empty() ? std::optional((*w)[0]) : std::nullopt);
  if (!x.ranked() || !w) return c.set_output(0, dtype, x.ranked() ? Shape::of_rank(x.rank()) : Shape());
  const int64_t groups = attr_int(c.node(), "group");
  if (x.rank() < 3 || x.rank() > 5 || w->size() != x.rank()) {
    c.fail(fmt::format("its input has rank {}, its weights have rank {}", x.rank(), w->size()));
  }
  const auto channels = checked_mul((*w)[1], groups);
  if (groups < 1 || !channels || (*w)[0] % groups != 0 || (x[1].is_fixed() && x[1].extent() != *channels)) {
    c.fail(fmt::format("{} groups, input {} and weights {} do not fit", groups, x.to_string(), to_string(*w)));
  }
  Shape y = Shape::of_rank(x.rank());
  y[0] = x[0];
  y[1] = (*w)[0];
  const WindowRule rule = read_window(c.node(), Dims(w->begin() + 2, w->end()));
  const auto spatial = window_dims(c.node(), rule, std::span(x.dims()).subspan(2), false);
  for (size_t i = 0; i < spatial.size(); ++i) y[2 + i] = spatial[i];
  c.set_output(0, dtype, std::move(y));
}

int32_t zero_of(const TensorView& zero) { return zero ? integers_of(zero).at(0) : 0; }

// The weights less their zero points, one for all or one per output channel.
IntConv packed(const IntConvShape& shape, const TensorView& w, const TensorView& zero) {
  std::vector<int32_t> zeros = zero ? integers_of(zero) : std::vector<int32_t>(1, 0);
  if (zeros.size() == 1) zeros.resize(static_cast<size_t>(shape.out_channels), zeros[0]);
  const IntConv::Options packing{.bytes_only = true};
  return w.dtype == DType::kInt8 ? IntConv(shape, w.as<int8_t>(), zeros.data(), packing)
                                 : IntConv(shape, w.as<uint8_t>(), zeros.data(), packing);
}

TensorView view_of(const RunContext& c, size_t port) { return c.has(port) ? c.input(port) : TensorView(); }

// The sums of all outputs, in the order of y.
void convolve(const RunContext& c, const Ports& ports, const int32_t* bias, int32_t* sums) {
  const TensorView& x = c.input(ports.x);
  const TensorView& w = c.input(ports.w);
  const IntConvShape shape = int_conv_shape(c.node(), x.dims, c.output(0).dims, w.dims, Layout::kPlain);
  const IntInput input{x.data, integer_type(x.dtype), zero_of(view_of(c, ports.x_zero))};
  packed(shape, w, view_of(c, ports.w_zero)).run(input, bias, sums, c.threads());
}

void run_integer(RunContext& c) { convolve(c, kIntegerPorts, nullptr, c.output(0).as<int32_t>()); }

// One factor from sums to quanta of y, or one per channel.
std::vector<float> requantization(const TensorView& x_scale, const TensorView& w_scale, const TensorView& y_scale) {
  std::vector<float> scales = floats_of(w_scale);
  const float x = floats_of(x_scale).at(0), y = floats_of(y_scale).at(0);
  for (float& scale : scales) scale = x * scale / y;
  return scales;
}

void run_linear(RunContext& c) {
  std::vector<int32_t> sums(static_cast<size_t>(c.output(0).size()));
  convolve(c, kLinearPorts, c.has(8) ? c.input(8).as<int32_t>() : nullptr, sums.data());
  const std::vector<float> scales = requantization(c.input(1), c.input(4), c.input(6));
  const int32_t y_zero = zero_of(c.input(7));
  const int64_t channels = c.output(0).dims[1];
  const int64_t inner = element_count(c.output(0).dims) / std::max<int64_t>(channels * c.output(0).dims[0], 1);
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto channel = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    const float scale = scales.size() == 1 ? scales[0] : scales.at(channel);
    store_quantized(static_cast<float>(sums[i]) * scale, y_zero, c.output(0), static_cast<int64_t>(i));
  }
}

std::unique_ptr<Step> lower_quantized(const LowerContext& c, const Ports& ports, std::vector<IntStage> own) {
  const auto& x = c.input(ports.x);
  const bool last = x.layout == Layout::kChannelsLast && c.output(0).layout == Layout::kChannelsLast;
  const Tensor* w = c.input(ports.w).constant;
  const bool known_zero = !c.has(ports.w_zero) || c.input(ports.w_zero).constant != nullptr;
  if (!last || w == nullptr || !known_zero) return nullptr;
  auto epilogue = integer_epilogue(c, c.output(0).dims[1], std::move(own));
  if (epilogue == nullptr) return nullptr;
  const Tensor weights = w->resident();
  IntConv conv = packed(int_conv_shape(c.node(), x.dims, c.output(0).dims, weights.dims(), x.layout), weights.view(),
                        c.has(ports.w_zero) ? c.input(ports.w_zero).constant->view() : TensorView());
  IntegerOperands operands = quantized_operands(c, ports.x, ports.x_zero);
  if (c.has(ports.bias)) operands.bias_port = ports.bias;
  return make_integer_step(c, std::move(conv), std::move(operands), std::move(epilogue));
}

std::unique_ptr<Step> lower_integer(const LowerContext& c) { return lower_quantized(c, kIntegerPorts, {}); }

std::unique_ptr<Step> lower_linear(const LowerContext& c) {
  for (const size_t port : {1, 4, 6, 7}) {
    if (c.input(port).constant == nullptr) return nullptr;
  }
  const auto view = [&](size_t port) { return c.input(port).constant->view(); };
  std::vector<IntStage> own =
      requantize_stages(requantization(view(1), view(4), view(6)), zero_of(view(7)), c.output(0).dtype);
  return lower_quantized(c, kLinearPorts, std::move(own));
}

std::vector<AttrSpec> attrs() {
  std::vector<AttrSpec> attrs = window_attrs();
  attrs.push_back(ints_attr("kernel_shape"));
  attrs.push_back(int_attr("group", 1));
  return attrs;
}

std::vector<Sample> integer_samples() {
  using Ints = std::vector<int64_t>;
  return {{.name = "padded",
           .inputs = {sample_bytes({2, 3, 7, 6}), random_weight({5, 3, 3, 3}, 0, 255, DType::kUInt8), sample_zero(7),
                      sample_zero(130)},
           .attrs = {{"pads", Ints{1, 0, 1, 2}}, {"strides", Ints{2, 1}}}}};
}

std::vector<Sample> linear_samples() {
  using Ints = std::vector<int64_t>;
  return {{.name = "per_tensor",
           .inputs = {sample_bytes({1, 3, 7, 6}), sample_scale(0.02f), sample_zero(120),
                      random_weight({5, 3, 3, 3}, 0, 255, DType::kUInt8), sample_scale(0.01f), sample_zero(128),
                      sample_scale(0.09f), sample_zero(100)},
           .attrs = {{"pads", Ints{1, 1, 1, 1}}}},
          {.name = "per_channel_bias",
           .inputs = {sample_bytes({2, 4, 5, 5}), sample_scale(0.02f), sample_zero(3),
                      random_weight({6, 2, 3, 3}, -128, 127, DType::kInt8), random_weight({6}, 0.005, 0.02),
                      fixed(Tensor::of<int8_t>({6}, {0, 0, 0, 0, 0, 0})), sample_scale(0.2f), sample_zero(100),
                      random_weight({6}, -2000, 2000, DType::kInt32)},
           .attrs = {{"group", int64_t{2}}, {"strides", Ints{2, 2}}}}};
}

}  // namespace

void add_qlinear_conv_op(OpTable& table) {
  const auto parameter = [](std::string name, bool optional = false) {
    return InputPort{.name = std::move(name), .role = Role::kParameter, .optional = optional};
  };
  table.add({.name = "conv_integer",
             .doc = "Convolution of 8-bit integers less their zero points, in int32.",
             .inputs = {{.name = "x"},
                        {.name = "w", .role = Role::kWeight},
                        parameter("x_zero_point", true),
                        parameter("w_zero_point", true)},
             .outputs = {{.name = "y"}},
             .attrs = attrs(),
             .infer = [](InferContext& c) { infer_conv(c, kIntegerPorts, DType::kInt32); },
             .run = run_integer,
             .lower = lower_integer,
             .layout = LayoutRule::kPreferChannelsLast,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("ConvInteger", 10)},
             .samples = integer_samples});
  table.add({.name = "qlinear_conv",
             .doc = "Convolution of quantized operands, quantized again.",
             .inputs = {{.name = "x"},
                        parameter("x_scale"),
                        parameter("x_zero_point"),
                        {.name = "w", .role = Role::kWeight},
                        parameter("w_scale"),
                        parameter("w_zero_point"),
                        parameter("y_scale"),
                        parameter("y_zero_point"),
                        {.name = "bias", .role = Role::kBias, .optional = true}},
             .outputs = {{.name = "y"}},
             .attrs = attrs(),
             .infer = [](InferContext& c) { infer_conv(c, kLinearPorts, c.dtype(7)); },
             .run = run_linear,
             .lower = lower_linear,
             .layout = LayoutRule::kPreferChannelsLast,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("QLinearConv", 10)},
             .samples = linear_samples});
}

}  // namespace amct
