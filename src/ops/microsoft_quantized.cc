// ONNX Runtime's operators on quantized tensors, as what they stand for: dequantize, compute, quantize; products are
// summed in integers. Results differ from its own kernels only where rounding meets a tie.
#include <fmt/core.h>

#include <algorithm>

#include "ops/composition.h"
#include "ops/op_row.h"

namespace amct {
namespace {

ValueId dequantized(const ImportContext& c, ValueId x, ValueId scale, ValueId zero, std::string_view what) {
  return compose(c, "dequantize_linear", {x, scale, zero}, {}, what);
}
ValueId dequantized(const ImportContext& c, size_t port, std::string_view what) {
  return dequantized(c, c.input(port), c.input(port + 1), c.input(port + 2), what);
}

// Output 0 from a float value; without a zero point it has the type of input 0.
void bind_quantized(const ImportContext& c, ValueId y, size_t scale) {
  Attrs attrs;
  if (!c.input(scale + 1).valid()) {
    const DType dtype = c.type(0).dtype;
    if (dtype != DType::kUInt8) c.unsupported("a result without zero point, of a type other than uint8");
  }
  bind_output(c, 0,
              compose(c, "quantize_linear", {y, c.input(scale), c.input(scale + 1)}, std::move(attrs), "quantized"));
}

bool flag(const ImportContext& c, const char* name) { return c.attrs().get<int64_t>(name, 0) != 0; }

// Moves the channels from the end of `rank` axes behind the batch, or back.
ValueId channels_moved(const ImportContext& c, ValueId x, size_t rank, bool to_front, std::string_view what) {
  std::vector<int64_t> order{0};
  if (to_front) order.push_back(static_cast<int64_t>(rank) - 1);
  for (size_t axis = to_front ? 1 : 2; axis < (to_front ? rank - 1 : rank); ++axis)
    order.push_back(static_cast<int64_t>(axis));
  if (!to_front) order.push_back(1);
  return compose(c, "transpose", {x}, {{"perm", order}}, what);
}

size_t image_rank(const ImportContext& c) {
  const auto kernel = c.attrs().get<std::vector<int64_t>>("kernel_shape", {});
  if (!kernel.empty()) return kernel.size() + 2;
  const Shape shape = known_shape(c, c.input(0));
  if (!shape.ranked()) c.unsupported("channels last in an image of unknown rank");
  return shape.rank();
}

void import_binary(ImportContext& c) {
  check_attrs(c, {});
  const ValueId y = compose(c, c.row().name, {dequantized(c, 0, "a"), dequantized(c, 3, "b")});
  bind_quantized(c, y, 6);
}

void import_concat(ImportContext& c) {
  check_attrs(c, {"axis"});
  const size_t count = c.foreign().inputs.size();
  if (count < 5 || (count - 2) % 3 != 0) c.fail(fmt::format("it has {} inputs; 2 and triples are needed", count));
  std::vector<ValueId> inputs;
  for (size_t port = 2; port < count; port += 3) inputs.push_back(dequantized(c, port, fmt::format("x{}", port / 3)));
  const ValueId y = compose(c, "concat", std::move(inputs), {{"axis", c.attrs().get<int64_t>("axis", 0)}});
  bind_output(c, 0, compose(c, "quantize_linear", {y, c.input(0), c.input(1)}, {}, "quantized"));
}

void import_average_pool(ImportContext& c) {
  check_attrs(c, {"channels_last"});
  const bool last = flag(c, "channels_last");
  Attrs attrs = c.attrs();
  attrs.erase("channels_last");
  ValueId x = dequantized(c, 0, "x");
  if (last) x = channels_moved(c, x, image_rank(c), true, "channels_first");
  ValueId y = compose(c, "average_pool", {x}, std::move(attrs));
  if (last) y = channels_moved(c, y, image_rank(c), false, "channels_last");
  bind_quantized(c, y, 3);
}

void import_global_average_pool(ImportContext& c) {
  check_attrs(c, {"channels_last"});
  const bool last = flag(c, "channels_last");
  ValueId x = dequantized(c, 0, "x");
  if (last) x = channels_moved(c, x, image_rank(c), true, "channels_first");
  ValueId y = compose(c, "global_average_pool", {x});
  if (last) y = channels_moved(c, y, image_rank(c), false, "channels_last");
  bind_quantized(c, y, 3);
}

// Functions of one element, and softmax; before opset 13 that took all axes from `axis` on together.
void import_unary(ImportContext& c) {
  check_attrs(c, {"opset"});
  Attrs attrs = c.attrs();
  if (c.row().name == "softmax" && c.attrs().get<int64_t>("opset", 13) < 13) attrs.set("flatten", int64_t{1});
  attrs.erase("opset");
  bind_quantized(c, compose(c, c.row().name, {dequantized(c, 0, "x")}, std::move(attrs)), 3);
}

// A matrix with its axes exchanged if the attribute says so.
ValueId matrix(const ImportContext& c, size_t port, const char* attr) {
  if (!flag(c, attr)) return c.input(port);
  return compose(c, "transpose", {c.input(port)}, {{"perm", std::vector<int64_t>{1, 0}}}, attr);
}

ValueId as_float(const ImportContext& c, ValueId sums) {
  return compose(c, "cast", {sums}, {{"to", int64_t{1}}}, "sums");
}

void import_gemm(ImportContext& c) {
  enum : size_t { kA, kAScale, kAZero, kB, kBScale, kBZero, kBias, kScale };
  check_attrs(c, {"alpha", "transA", "transB"});
  ValueId sums = compose(c, "matmul_integer",
                         {matrix(c, kA, "transA"), matrix(c, kB, "transB"), c.input(kAZero), c.input(kBZero)});
  if (c.input(kBias).valid()) sums = compose(c, "add", {sums, c.input(kBias)}, {}, "biased");
  ValueId scale = compose(c, "mul", {c.input(kAScale), c.input(kBScale)}, {}, "scale");
  if (const double alpha = c.attrs().get<double>("alpha", 1); alpha != 1) {
    scale =
        compose(c, "mul", {scale, c.constant("alpha", Tensor::scalar(static_cast<float>(alpha)))}, {}, "alpha_scale");
  }
  const ValueId y = compose(c, "mul", {as_float(c, sums), scale}, {}, "scaled");
  if (!c.input(kScale).valid()) return bind_output(c, 0, y);
  bind_quantized(c, y, kScale);
}

// y = (a - a_zero) (b - b_zero) a_scale b_scale + bias
void bind_product(const ImportContext& c, const std::vector<ValueId>& operands, ValueId a_scale, ValueId b_scale,
                  ValueId bias) {
  const ValueId sums = compose(c, "matmul_integer", operands);
  const ValueId scale = compose(c, "mul", {a_scale, b_scale}, {}, "scale");
  ValueId y = compose(c, "mul", {as_float(c, sums), scale}, {}, "scaled");
  if (bias.valid()) y = compose(c, "add", {y, bias}, {}, "biased");
  bind_output(c, 0, y);
}

void import_integer_to_float(ImportContext& c) {
  check_attrs(c, {});
  bind_product(c, {c.input(0), c.input(1), c.input(4), c.input(5)}, c.input(2), c.input(3), c.input(6));
}

void import_dynamic_matmul(ImportContext& c) {
  check_attrs(c, {});
  const std::vector<ValueId> a = compose_all(c, "dynamic_quantize_linear", {c.input(0)}, {}, "a", 3);
  bind_product(c, {a[0], c.input(1), a[2], c.input(3)}, a[1], c.input(2), c.input(4));
}

void import_nhwc_max_pool(ImportContext& c) {
  check_attrs(c, {});
  const ValueId x = channels_moved(c, c.input(0), image_rank(c), true, "channels_first");
  bind_output(c, 0, channels_moved(c, compose(c, "max_pool", {x}, c.attrs()), image_rank(c), false, "channels_last"));
}

void import_conv(ImportContext& c) {
  check_attrs(c, {"channels_last"});
  Attrs attrs = c.attrs();
  attrs.erase("channels_last");
  std::vector<ValueId> inputs = c.foreign().inputs;
  const bool last = flag(c, "channels_last");
  if (last) inputs[0] = channels_moved(c, inputs.at(0), image_rank(c), true, "channels_first");
  ValueId y = compose(c, "qlinear_conv", std::move(inputs), std::move(attrs));
  if (last) y = channels_moved(c, y, image_rank(c), false, "channels_last");
  bind_output(c, 0, y);
}

// 4-bit values of a constant of bytes, two of them in each, the lower one first, along the last axis; `columns` of
// them.
ValueId unpacked(const ImportContext& c, ValueId bytes, int64_t columns, std::string_view what) {
  const Tensor* packed = c.graph().constant(bytes);
  if (packed == nullptr || packed->rank() == 0) c.unsupported("packed values that are not constant");
  Dims dims = packed->dims();
  const int64_t row = dims.back();
  if (row * 2 != columns && row * 2 != columns + 1) c.fail(fmt::format("rows of {} bytes for {} values", row, columns));
  dims.back() = columns;
  Tensor values = Tensor::allocate(DType::kUInt4, dims);
  const auto from = packed->values<uint8_t>();
  const auto to = values.mutable_values<uint8_t>();
  for (size_t i = 0; i < to.size(); ++i) {
    const auto column = static_cast<int64_t>(i) % columns, line = static_cast<int64_t>(i) / columns;
    const uint8_t pair = from[static_cast<size_t>(line * row + column / 2)];
    to[i] = column % 2 == 0 ? pair & 15 : pair >> 4;
  }
  return c.constant(what, std::move(values));
}

// Rows of a table that is quantized in blocks of its last axis.
void import_gather_blocks(ImportContext& c) {
  enum : size_t { kData, kIndices, kScales, kZeros };
  check_attrs(c, {"bits", "block_size", "quantize_axis", "gather_axis"});
  const Tensor* data = c.graph().constant(c.input(kData));
  const Tensor* scales = c.graph().constant(c.input(kScales));
  if (data == nullptr || scales == nullptr || data->rank() != 2) c.unsupported("a table that is no constant matrix");
  const int64_t axis = c.attrs().get<int64_t>("quantize_axis", 1), block = c.attrs().get<int64_t>("block_size", 128);
  if ((axis != 1 && axis != -1) || c.attrs().get<int64_t>("gather_axis", 0) != 0)
    c.unsupported("axes other than 1 and 0");
  ValueId values = c.input(kData), zeros = c.input(kZeros);
  if (data->dtype() == DType::kUInt8) {
    if (c.attrs().get<int64_t>("bits", 4) != 4) c.unsupported("bytes of other than 4-bit values");
    values = unpacked(c, values, 2 * data->dims()[1], "values");
    Tensor middle = Tensor::allocate(DType::kUInt4, scales->dims());
    std::ranges::fill(middle.mutable_values<uint8_t>(), uint8_t{8});
    zeros =
        zeros.valid() ? unpacked(c, zeros, scales->dims().back(), "zero_points") : c.constant("zero_points", middle);
  }
  const auto rows = [&](ValueId table, std::string_view what) {
    return table.valid() ? compose(c, "gather", {table, c.input(kIndices)}, {{"axis", int64_t{0}}}, what) : kNoValue;
  };
  bind_output(
      c, 0,
      compose(c, "dequantize_linear", {rows(values, "rows"), rows(c.input(kScales), "scales"), rows(zeros, "zeros")},
              {{"axis", int64_t{-1}}, {"block_size", block}}));
}

// The types of 16 and 4 bits, which the standard operators have since opset 21.
void import_same(ImportContext& c) { import_default(c); }

}  // namespace

std::vector<Composition> microsoft_quantized_compositions() {
  return {
      {kMicrosoft, "QLinearAdd", "add", "dequantized, add, quantized", import_binary},
      {kMicrosoft, "QLinearMul", "mul", "dequantized, mul, quantized", import_binary},
      {kMicrosoft, "QLinearConcat", "concat", "dequantized, concat, quantized", import_concat},
      {kMicrosoft, "QLinearAveragePool", "average_pool", "dequantized, average_pool, quantized", import_average_pool},
      {kMicrosoft, "QLinearGlobalAveragePool", "global_average_pool", "dequantized, global_average_pool, quantized",
       import_global_average_pool},
      {kMicrosoft, "QLinearLeakyRelu", "leaky_relu", "dequantized, leaky_relu, quantized", import_unary},
      {kMicrosoft, "QLinearSigmoid", "sigmoid", "dequantized, sigmoid, quantized", import_unary},
      {kMicrosoft, "QLinearSoftmax", "softmax", "dequantized, softmax, quantized", import_unary},
      {kMicrosoft, "QGemm", "matmul_integer", "matmul_integer, add, mul, quantized", import_gemm},
      {kMicrosoft, "MatMulIntegerToFloat", "matmul_integer", "matmul_integer, mul, add", import_integer_to_float},
      {kMicrosoft, "DynamicQuantizeMatMul", "matmul_integer", "dynamically quantized, matmul_integer, mul, add",
       import_dynamic_matmul},
      {kMicrosoft, "NhwcMaxPool", "max_pool", "max_pool between transpositions", import_nhwc_max_pool},
      {kMicrosoft, "GatherBlockQuantized", "dequantize_linear", "gathers, dequantize_linear", import_gather_blocks},
      {kMicrosoft, "QuantizeLinear", "quantize_linear", "quantize_linear", import_same},
      {kMicrosoft, "DequantizeLinear", "dequantize_linear", "dequantize_linear", import_same},
      {kMicrosoft, "QLinearConv", "qlinear_conv", "qlinear_conv, between transpositions for channels last",
       import_conv},
  };
}

}  // namespace amct
