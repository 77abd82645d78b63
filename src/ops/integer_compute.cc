#include "ops/integer_compute.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/checked_math.h"
#include "base/error.h"
#include "kernels/simd/int_conv.h"
#include "kernels/simd/int_conv_transpose.h"
#include "ops/integer_epilogue.h"
#include "ops/integer_step.h"
#include "ops/op_row.h"
#include "ops/product.h"
#include "ops/window.h"

namespace amct {
namespace {

[[noreturn]] void fail(const Node& node, std::string message) {
  throw Error(ErrorCode::kInput, std::move(message), {.node = node.name, .op = node.op});
}

void check_types(const Node& node, DType weights, DType bias) {
  if (weights != DType::kInt8 && weights != DType::kInt4) {
    fail(node, fmt::format("integer inputs need int8 weights, not {}", name_of(weights)));
  }
  if (bias != DType::kUndefined && bias != DType::kInt32) {
    fail(node, fmt::format("integer inputs need an int32 bias, not {}", name_of(bias)));
  }
}

// Entries of the spatial axes, right-aligned in three.
IntConvShape::Spatial spatial(std::span<const int64_t> entries, int64_t missing) {
  IntConvShape::Spatial result{missing, missing, missing};
  std::copy_backward(entries.begin(), entries.end(), result.end());
  return result;
}

// How the weights are packed for inputs of a type.
IntConv::Options packing_for(const Node& node, DType type) {
  return {.bytes_only = integer_input(node, {.dtype = type}).type != IntInput::Type::kInt16};
}

// A convolution of either kind with its weights packed.
template <typename Conv>
Conv make_conv(const Node& node, DType type, const Dims& x, const Dims& y, const TensorView& w, Layout layout) {
  constexpr bool kTransposed = std::is_same_v<Conv, IntConvTranspose>;
  const IntConvShape shape = int_conv_shape(node, x, y, w.dims, layout, kTransposed);
  if constexpr (kTransposed) {
    const int64_t positions = IntConvShape::product(shape.kernel);
    const bool in_out = attr_string(node, "weight_layout") == "in_out";
    return in_out ? IntConvTranspose(shape, w.as<int8_t>(), positions, shape.out_group() * positions)
                  : IntConvTranspose(shape, w.as<int8_t>(), shape.in_group() * positions, positions);
  } else {
    return IntConv(shape, w.as<int8_t>(), nullptr, packing_for(node, type));
  }
}

const int32_t* bias_data(const TensorView& bias) { return bias ? bias.as<int32_t>() : nullptr; }
TensorView optional_input(const RunContext& c, size_t port) { return c.has(port) ? c.input(port) : TensorView(); }

template <typename Conv>
void run_conv(RunContext& c) {
  const TensorView bias = optional_input(c, 2);
  check_types(c.node(), c.input(1).dtype, bias.dtype);
  const Conv conv =
      make_conv<Conv>(c.node(), c.input(0).dtype, c.input(0).dims, c.output(0).dims, c.input(1), Layout::kPlain);
  run_sums(conv, integer_input(c.node(), c.input(0)), bias_data(bias), c.output(0), c.threads());
}

IntegerOperands operands_of(const LowerContext& c) {
  IntegerOperands operands{.zero = integer_input(c.node(), {.dtype = c.input(0).dtype}).zero};
  if (c.has(2)) operands.bias_port = 2;
  return operands;
}

// Transposed convolutions take no epilogues: what is offered to them is left to separate steps.
class TransposeStep : public Step {
 public:
  explicit TransposeStep(const LowerContext& c, IntConvTranspose conv)
      : node_(c.node()), conv_(std::move(conv)), has_bias_(c.has(2)), threads_(c.threads()) {}

  std::function<void()> bind(const StepIo& io) const override {
    const int32_t* bias = has_bias_ ? bias_data(io.inputs[2]) : nullptr;
    return [this, x = integer_input(node_, io.inputs[0]), bias, y = io.outputs[0]] {
      run_sums(conv_, x, bias, y, threads_);
    };
  }
  std::string implementation() const override { return "simd"; }
  bool reads(size_t input) const override { return input != 1; }

 private:
  const Node node_;
  const IntConvTranspose conv_;
  const bool has_bias_;
  const int threads_;
};

// The kernel's epilogue works on channels-last results; what is offered beyond its reach is refused.
template <typename Conv>
std::unique_ptr<Step> lower_conv(const LowerContext& c) {
  constexpr bool kTransposed = std::is_same_v<Conv, IntConvTranspose>;
  const bool last = c.output(0).layout == Layout::kChannelsLast;
  if (c.input(1).constant == nullptr || c.input(0).layout != c.output(0).layout) return nullptr;
  check_types(c.node(), c.input(1).dtype, c.has(2) ? c.input(2).dtype : DType::kUndefined);
  std::shared_ptr<const IntEpilogue> epilogue;
  if (last && !kTransposed) epilogue = integer_epilogue(c, c.output(0).dims[1]);
  if (epilogue == nullptr && !c.epilogues().empty()) return nullptr;
  const Tensor w = c.input(1).constant->resident();
  Conv conv =
      make_conv<Conv>(c.node(), c.input(0).dtype, c.input(0).dims, c.output(0).dims, w.view(), c.input(0).layout);
  if constexpr (kTransposed) {
    return std::make_unique<TransposeStep>(c, std::move(conv));
  } else {
    return make_integer_step(c, std::move(conv), operands_of(c), std::move(epilogue));
  }
}

IntConv make_gemm(const Node& node, DType type, const Dims& a, const TensorView& b) {
  if (attr_int(node, "transA") != 0 || attr_float(node, "alpha") != 1 || attr_float(node, "beta") != 1) {
    fail(node, "an integer gemm takes no transposed first input and no factors");
  }
  const bool transposed = attr_int(node, "transB") != 0;
  const int64_t n = b.dims[transposed ? 0 : 1];
  const int64_t k = b.dims[transposed ? 1 : 0];
  return int_product({b.as<int8_t>(), DType::kInt8, n, k, transposed ? k : 1, transposed ? 1 : n}, a[0],
                     packing_for(node, type));
}

// One value per column.
std::vector<int32_t> column_bias(const Node& node, const TensorView& bias, int64_t columns) {
  if (!bias) return {};
  const int32_t* values = bias.as<int32_t>();
  if (bias.size() == 1) return std::vector<int32_t>(columns, values[0]);
  if (bias.size() != columns || bias.dims.back() != columns)
    fail(node, "the bias of an integer gemm has one value per column");
  return {values, values + columns};
}

// Scales for each index of axis 1 are scales for each column in a product of matrices only.
std::shared_ptr<const IntEpilogue> product_epilogue(const LowerContext& c, int64_t columns) {
  const bool per_channel = std::any_of(c.epilogues().begin(), c.epilogues().end(), [](const Epilogue& epilogue) {
    return std::any_of(epilogue.stages.begin(), epilogue.stages.end(),
                       [](const IntStage& stage) { return stage.scales.size() > 1; });
  });
  const size_t rank = c.output(0).dims.size();
  if (c.output(0).layout != Layout::kPlain || rank < 2 || (per_channel && rank != 2)) return nullptr;
  return integer_epilogue(c, columns);
}

}  // namespace

IntInput::Type integer_type(DType dtype) {
  return dtype == DType::kInt16   ? IntInput::Type::kInt16
         : dtype == DType::kUInt8 ? IntInput::Type::kUInt8
                                  : IntInput::Type::kInt8;
}

IntInput integer_input(const Node& node, const TensorView& x) {
  const int64_t zero = attr_int(node, "x_offset");
  const IntInput input{x.data, integer_type(x.dtype), static_cast<int32_t>(std::clamp<int64_t>(zero, -65536, 65536))};
  if (!input.zero_fits()) {
    fail(node, fmt::format("an offset of {} does not fit inputs of type {}", zero, name_of(x.dtype)));
  }
  return input;
}

IntConvShape int_window_shape(const Dims& x, const Dims& y, const dnn::Window& window, int64_t groups, Layout layout) {
  return {.batch = x[0],
          .groups = groups,
          .in_channels = x[1],
          .out_channels = y[1],
          .input = spatial(std::span(x).subspan(2), 1),
          .output = spatial(std::span(y).subspan(2), 1),
          .kernel = spatial(window.kernel, 1),
          .strides = spatial(window.strides, 1),
          .dilations = spatial(window.dilations, 1),
          .pads = spatial(window.pads_begin, 0),
          .channels_last = layout == Layout::kChannelsLast};
}

IntConvShape int_conv_shape(const Node& node, const Dims& x, const Dims& y, const Dims& w, Layout layout,
                            bool transposed) {
  const WindowRule rule = read_window(node, Dims(w.begin() + 2, w.end()));
  const dnn::Window window = resolve_window(rule, std::span(x).subspan(2), transposed);
  return int_window_shape(x, y, window, attr_int(node, "group"), layout);
}

namespace {
template <typename T>
IntConv product_of(const IntMatrix& b, int64_t rows, const IntConv::Options& packing) {
  std::vector<T> weights(static_cast<size_t>(b.n * b.k));
  const T* from = static_cast<const T*>(b.data);
  for (int64_t i = 0; i < b.n; ++i) {
    for (int64_t j = 0; j < b.k; ++j) weights[i * b.k + j] = from[i * b.stride_n + j * b.stride_k];
  }
  const IntConvShape shape{
      .in_channels = b.k, .out_channels = b.n, .input = {1, 1, rows}, .output = {1, 1, rows}, .channels_last = true};
  return IntConv(shape, weights.data(), b.zeros, packing);
}
}  // namespace

IntConv int_product(const IntMatrix& b, int64_t rows, const IntConv::Options& packing) {
  return b.dtype == DType::kUInt8 ? product_of<uint8_t>(b, rows, packing) : product_of<int8_t>(b, rows, packing);
}

DType integer_sum_type(DType activation, std::optional<int64_t> depth, bool has_bias, const Tensor* bias) {
  // |w| <= 128; |x - offset| <= 255 or 65535, because offsets are values of the type (integer_input).
  const int64_t product = activation == DType::kInt16 ? 65535 * 128 : 255 * 128;
  const auto sums = checked_mul(depth.value_or(1), product);
  int64_t added = 0;
  if (bias != nullptr && *bias) {
    for (const int64_t value : bias->to_int64s()) added = std::max<int64_t>(added, std::abs(value));
  } else if (has_bias) {
    added = std::numeric_limits<int32_t>::max();
  }
  return sums && *sums + added <= std::numeric_limits<int32_t>::max() ? DType::kInt32 : DType::kInt64;
}

void run_integer_conv(RunContext& c) { run_conv<IntConv>(c); }
void run_integer_conv_transpose(RunContext& c) { run_conv<IntConvTranspose>(c); }
std::unique_ptr<Step> lower_integer_conv(const LowerContext& c) { return lower_conv<IntConv>(c); }
std::unique_ptr<Step> lower_integer_conv_transpose(const LowerContext& c) { return lower_conv<IntConvTranspose>(c); }

void run_integer_gemm(RunContext& c) {
  const TensorView bias = optional_input(c, 2);
  check_types(c.node(), c.input(1).dtype, bias.dtype);
  const auto added = column_bias(c.node(), bias, c.output(0).dims[1]);
  const IntConv product = make_gemm(c.node(), c.input(0).dtype, c.input(0).dims, c.input(1));
  run_sums(product, integer_input(c.node(), c.input(0)), added.empty() ? nullptr : added.data(), c.output(0),
           c.threads());
}

std::unique_ptr<Step> lower_integer_gemm(const LowerContext& c) {
  const bool computed_bias = c.has(2) && c.input(2).constant == nullptr;
  if (c.input(1).constant == nullptr || computed_bias) return nullptr;
  check_types(c.node(), c.input(1).dtype, c.has(2) ? c.input(2).dtype : DType::kUndefined);
  auto epilogue = product_epilogue(c, c.output(0).dims[1]);
  if (epilogue == nullptr && !c.epilogues().empty()) return nullptr;
  const Tensor bias = c.has(2) ? c.input(2).constant->resident() : Tensor(), w = c.input(1).constant->resident();
  IntegerOperands operands = operands_of(c);
  operands.bias_port = IntegerOperands::kNone;
  operands.bias = column_bias(c.node(), bias ? bias.view() : TensorView(), c.output(0).dims[1]);
  IntConv product = make_gemm(c.node(), c.input(0).dtype, c.input(0).dims, w.view());
  return make_integer_step(c, std::move(product), std::move(operands), std::move(epilogue));
}

void run_integer_matmul(RunContext& c) {
  check_types(c.node(), c.input(1).dtype, DType::kUndefined);
  const ProductShape shape = product_shape(c.input(0).dims, c.input(1).dims);
  const IntInput a = integer_input(c.node(), c.input(0));
  const size_t y_bytes = element_bytes(c.output(0).dtype);
  const size_t a_bytes = element_bytes(c.input(0).dtype);
  for_each_matrix(shape, [&](int64_t to, int64_t from_a, int64_t from_b) {
    const int8_t* b = c.input(1).as<int8_t>() + from_b * shape.k * shape.n;
    const IntConv product =
        int_product({b, DType::kInt8, shape.n, shape.k, 1, shape.n}, shape.m, packing_for(c.node(), c.input(0).dtype));
    IntInput rows = a;
    rows.data = static_cast<const std::byte*>(a.data) + from_a * shape.m * shape.k * a_bytes;
    MutableView y = c.output(0);
    y.data = static_cast<std::byte*>(y.data) + to * shape.m * shape.n * y_bytes;
    run_sums(product, rows, nullptr, y, c.threads());
  });
}

std::unique_ptr<Step> lower_integer_matmul(const LowerContext& c) {
  const ProductShape shape = product_shape(c.input(0).dims, c.input(1).dims);
  if (c.input(1).constant == nullptr || element_count(shape.b_batch) != 1) return nullptr;
  check_types(c.node(), c.input(1).dtype, DType::kUndefined);
  auto epilogue = product_epilogue(c, shape.n);
  if (epilogue == nullptr && !c.epilogues().empty()) return nullptr;
  const int64_t rows = element_count(shape.batch) * shape.m;
  const Tensor b = c.input(1).constant->resident();
  IntConv product = int_product({b.view().as<int8_t>(), DType::kInt8, shape.n, shape.k, 1, shape.n}, rows,
                                packing_for(c.node(), c.input(0).dtype));
  return make_integer_step(c, std::move(product), operands_of(c), std::move(epilogue));
}

}  // namespace amct
