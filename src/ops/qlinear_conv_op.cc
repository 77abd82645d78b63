// ConvInteger and QLinearConv of ONNX: the convolution of 8-bit integers less their zero points, pads counting as zero;
// the second one adds an int32 bias and requantizes: y = sat(round(sum * (x_scale * w_scale / y_scale)) +
// y_zero_point).
#include <fmt/format.h>

#include <algorithm>

#include "kernels/simd/int_conv.h"
#include "ops/quantized_operand.h"
#include "ops/window.h"

namespace amct {
namespace {

// Where the operands stand among the inputs.
struct Ports {
  size_t x, w, x_zero, w_zero;
};
constexpr Ports kIntegerPorts{0, 1, 2, 3};
constexpr Ports kLinearPorts{0, 3, 2, 5};

void infer_conv(InferContext& c, const Ports& ports, DType dtype) {
  check_8_bits(c, ports.x);
  check_8_bits(c, ports.w);
  const Shape& x = c.shape(ports.x);
  const auto w = c.shape(ports.w).fixed();
  if (!x.ranked() || !w) return c.set_output(0, dtype, x.ranked() ? Shape::of_rank(x.rank()) : Shape());
  const int64_t groups = attr_int(c.node(), "group");
  if (x.rank() < 3 || x.rank() > 5 || w->size() != x.rank()) {
    c.fail(fmt::format("its input has rank {}, its weights have rank {}", x.rank(), w->size()));
  }
  if (groups < 1 || (*w)[0] % groups != 0 || (x[1].is_fixed() && x[1].extent() != (*w)[1] * groups)) {
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

// The sums of all outputs, in the order of y.
std::vector<int32_t> convolve(const RunContext& c, const Ports& ports, const int32_t* bias) {
  const Dims& x = c.input(ports.x).dims;
  const Dims& y = c.output(0).dims;
  const TensorView& w = c.input(ports.w);
  const WindowRule rule = read_window(c.node(), Dims(w.dims.begin() + 2, w.dims.end()));
  const dnn::Window window = resolve_window(rule, std::span(x).subspan(2), false);
  IntConvShape shape{.batch = x[0], .groups = attr_int(c.node(), "group"), .in_channels = x[1], .out_channels = y[1]};
  const auto set = [](IntConvShape::Spatial& to, std::span<const int64_t> from) {
    std::copy_backward(from.begin(), from.end(), to.end());
  };
  set(shape.input, std::span(x).subspan(2));
  set(shape.output, std::span(y).subspan(2));
  set(shape.kernel, window.kernel);
  set(shape.strides, window.strides);
  set(shape.dilations, window.dilations);
  set(shape.pads, window.pads_begin);
  const auto zeros = [&](size_t port) { return c.has(port) ? integers_of(c.input(port)) : std::vector<int32_t>(1, 0); };
  const int32_t x_zero = zeros(ports.x_zero).at(0);
  std::vector<int32_t> w_zero = zeros(ports.w_zero);
  if (w_zero.size() != static_cast<size_t>(y[1])) w_zero.resize(static_cast<size_t>(y[1]), w_zero.at(0));
  const bool is_signed = c.input(ports.x).dtype == DType::kInt8;
  const IntInput input{c.input(ports.x).data, is_signed ? IntInput::Type::kInt8 : IntInput::Type::kUInt8, x_zero};
  std::vector<int32_t> sums(static_cast<size_t>(c.output(0).size()));
  if (w.dtype == DType::kInt8) {
    IntConv(shape, w.as<int8_t>(), w_zero.data()).run(input, bias, sums.data(), c.threads());
  } else {
    IntConv(shape, w.as<uint8_t>(), w_zero.data()).run(input, bias, sums.data(), c.threads());
  }
  return sums;
}

void run_integer(RunContext& c) {
  const std::vector<int32_t> sums = convolve(c, kIntegerPorts, nullptr);
  std::copy(sums.begin(), sums.end(), c.output(0).as<int32_t>());
}

void run_linear(RunContext& c) {
  const std::vector<int32_t> sums = convolve(c, kLinearPorts, c.has(8) ? c.input(8).as<int32_t>() : nullptr);
  const float x_scale = floats_of(c.input(1)).at(0), y_scale = floats_of(c.input(6)).at(0);
  const std::vector<float> w_scale = floats_of(c.input(4));
  const int32_t y_zero = integers_of(c.input(7)).at(0);
  const int64_t channels = c.output(0).dims[1];
  const int64_t inner = element_count(c.output(0).dims) / std::max<int64_t>(channels * c.output(0).dims[0], 1);
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto channel = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    const float scale = x_scale * (w_scale.size() == 1 ? w_scale[0] : w_scale.at(channel)) / y_scale;
    store_quantized(static_cast<float>(sums[i]) * scale, y_zero, c.output(0), static_cast<int64_t>(i));
  }
}

std::vector<AttrSpec> attrs() {
  std::vector<AttrSpec> attrs = window_attrs();
  attrs.push_back(ints_attr("kernel_shape"));
  attrs.push_back(int_attr("group", 1));
  return attrs;
}

SampleInput scalar(float value) { return fixed(Tensor::scalar<float>(value)); }
SampleInput zero(uint8_t value) { return fixed(Tensor::scalar<uint8_t>(value)); }
SampleInput bytes(Dims dims) { return random_input(std::move(dims), 0, 255, DType::kUInt8); }

std::vector<Sample> integer_samples() {
  using Ints = std::vector<int64_t>;
  return {{.name = "padded",
           .inputs = {bytes({2, 3, 7, 6}), random_weight({5, 3, 3, 3}, 0, 255, DType::kUInt8), zero(7), zero(130)},
           .attrs = {{"pads", Ints{1, 0, 1, 2}}, {"strides", Ints{2, 1}}}}};
}

std::vector<Sample> linear_samples() {
  using Ints = std::vector<int64_t>;
  return {{.name = "per_tensor",
           .inputs = {bytes({1, 3, 7, 6}), scalar(0.02f), zero(120), random_weight({5, 3, 3, 3}, 0, 255, DType::kUInt8),
                      scalar(0.01f), zero(128), scalar(0.09f), zero(100)},
           .attrs = {{"pads", Ints{1, 1, 1, 1}}}},
          {.name = "per_channel_bias",
           .inputs = {bytes({2, 4, 5, 5}), scalar(0.02f), zero(3), random_weight({6, 2, 3, 3}, -128, 127, DType::kInt8),
                      random_weight({6}, 0.005, 0.02), fixed(Tensor::of<int8_t>({6}, {0, 0, 0, 0, 0, 0})), scalar(0.2f),
                      zero(100), random_weight({6}, -2000, 2000, DType::kInt32)},
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
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("QLinearConv", 10)},
             .samples = linear_samples});
}

}  // namespace amct
