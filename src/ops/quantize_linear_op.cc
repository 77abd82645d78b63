// QuantizeLinear and DequantizeLinear of ONNX: y = saturate(round_half_even(x / scale) + zero_point) and
// y = (x - zero_point) * scale, per tensor, per index of an axis, or per block along an axis; 4-, 8- and 16-bit
// integers, and 32-bit ones for dequantization. To an 8- or 4-bit float, y = round(x / scale) in the type's own steps,
// following `saturate` (ir/small_float.h); its zero points must be 0.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/dispatch.h"
#include "ir/small_float.h"
#include "kernels/simd/quantize_linear.h"
#include "ops/composition.h"
#include "ops/integer_epilogue.h"
#include "ops/onnx_types.h"
#include "ops/quantize_common.h"
#include "ops/quantized_operand.h"

namespace amct {
namespace {

bool can_quantize_to(DType dtype) { return is_small_float(dtype) || (is_integer(dtype) && bit_width(dtype) <= 16); }

DType quantized_type(const InferContext& c) {
  if (c.has(2)) {
    const DType dtype = c.dtype(2);
    if (dtype != DType::kUndefined && !can_quantize_to(dtype)) {
      c.fail(fmt::format("the zero point is {}, no type to quantize to", name_of(dtype)));
    }
    return dtype;
  }
  const int64_t code = attr_int(c.node(), "output_dtype");
  if (code == 0) return DType::kUInt8;
  const auto dtype = dtype_from_onnx(code);
  if (!dtype || !can_quantize_to(*dtype)) {
    c.fail(fmt::format("output_dtype {} is no type to quantize to", code));
  }
  return *dtype;
}

// The scales as float32.
std::vector<float> scales_of(const RunContext& c) {
  std::vector<float> scales(static_cast<size_t>(c.input(1).size()));
  visit_numeric(c.input(1).dtype, [&]<typename S>(Tag<S>) {
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(c.input(1).as<S>()[i]);
  });
  return scales;
}

// Throws Error(kInput) unless the zero points of an 8- or 4-bit float are 0.
void check_small_zero_points(const RunContext& c) {
  if (!c.has(2)) return;
  const auto& values = small_float_values(c.input(2).dtype);
  for (int64_t i = 0; i < c.input(2).size(); ++i) {
    if (values[c.input(2).as<uint8_t>()[i]] == 0) continue;
    throw Error(ErrorCode::kInput, fmt::format("a zero point of type {} is not 0", name_of(c.input(2).dtype)),
                {.node = c.node().name, .op = c.node().op});
  }
}

// Calls f(element, scale index) in order.
template <typename F>
void for_each_scaled(const ScaleGrid& grid, F&& f) {
  int64_t at = 0;
  for (int64_t o = 0; o < grid.outer; ++o) {
    for (int64_t i = 0; i < grid.extent; ++i) {
      for (int64_t k = 0; k < grid.inner; ++k, ++at) f(at, static_cast<size_t>(grid.scale_index(o, i, k)));
    }
  }
}

template <typename From>
void quantize_small(const RunContext& c, const ScaleGrid& grid) {
  check_small_zero_points(c);
  const bool saturate = attr_int(c.node(), "saturate") != 0;
  const std::vector<float> scales = scales_of(c);
  const From* x = c.input(0).as<From>();
  uint8_t* y = c.output(0).as<uint8_t>();
  const DType dtype = c.output(0).dtype;
  const float zero = dtype == DType::kFloat4E2M1 ? 0.0f : -0.0f;  // adding the zero point turns -0 into 0 there
  for_each_scaled(grid, [&](int64_t at, size_t s) {
    y[at] = small_float_code(dtype, static_cast<float>(x[at]) / scales[s] + zero, saturate);
  });
}

template <typename To>
void dequantize_small(const RunContext& c, const ScaleGrid& grid) {
  check_small_zero_points(c);
  const std::vector<float> scales = scales_of(c);
  const auto& values = small_float_values(c.input(0).dtype);
  const uint8_t* x = c.input(0).as<uint8_t>();
  To* y = c.output(0).as<To>();
  for_each_scaled(grid, [&](int64_t at, size_t s) { y[at] = To(values[x[at]] * scales[s]); });
}

void infer_quantize(InferContext& c) {
  check_scales(c);
  c.set_output(0, quantized_type(c), c.shape(0));
}

// Calls f(first element, count, index of their scale) for elements in a row that share a scale.
template <typename F>
void each_run(const ScaleGrid& grid, F&& f) {
  if (grid.kind == ScaleGrid::Kind::kTensor) return f(int64_t{0}, grid.outer * grid.extent * grid.inner, int64_t{0});
  int64_t first = 0;
  for (int64_t o = 0; o < grid.outer; ++o) {
    for (int64_t i = 0; i < grid.extent; ++i, first += grid.inner) f(first, grid.inner, i);
  }
}

template <typename From, typename To>
void quantize(const RunContext& c, const ScaleGrid& grid, IntegerBounds bounds) {
  const From* x = c.input(0).as<From>();
  To* y = c.output(0).as<To>();
  const std::vector<float> scales = scales_of(c);
  const To* zeros = c.has(2) ? c.input(2).as<To>() : nullptr;
  if constexpr (std::is_same_v<From, float>) {
    if (grid.kind != ScaleGrid::Kind::kBlock) {
      return each_run(grid, [&](int64_t first, int64_t count, int64_t s) {
        quantize_linear(x + first, y + first, static_cast<size_t>(count),
                        {.scale = scales[static_cast<size_t>(s)],
                         .zero = zeros != nullptr ? zeros[s] : 0,
                         .low = static_cast<int32_t>(bounds.low),
                         .high = static_cast<int32_t>(bounds.high)});
      });
    }
  }
  const auto low = static_cast<float>(bounds.low);
  const auto high = static_cast<float>(bounds.high);
  for_each_scaled(grid, [&](int64_t at, size_t s) {
    const float zero = zeros != nullptr ? static_cast<float>(zeros[s]) : 0.0f;
    const float q = std::nearbyint(static_cast<float>(x[at]) / scales[s]) + zero;
    y[at] = static_cast<To>(std::min(std::max(low, q), high));
  });
}

void run_quantize(RunContext& c) {
  const ScaleGrid grid = scale_grid(c.node(), c.input(0).dims, c.input(1).dims, c.layout());
  const DType to = c.output(0).dtype;
  const IntegerBounds bounds = is_small_float(to) ? IntegerBounds{} : integer_bounds(to);
  visit_numeric(c.input(0).dtype, [&]<typename From>(Tag<From>) {
    if (is_small_float(to)) return quantize_small<From>(c, grid);
    switch (to) {
      case DType::kInt8:
      case DType::kInt4: return quantize<From, int8_t>(c, grid, bounds);
      case DType::kUInt8:
      case DType::kUInt4: return quantize<From, uint8_t>(c, grid, bounds);
      case DType::kInt16: return quantize<From, int16_t>(c, grid, bounds);
      case DType::kUInt16: return quantize<From, uint16_t>(c, grid, bounds);
      default: break;
    }
    throw Error(ErrorCode::kUnsupported, fmt::format("quantization to {}", name_of(to)), {.node = c.node().name});
  });
}

void infer_dequantize(InferContext& c) {
  check_scales(c);
  check_scale_type(c, 1);
  check_zero_type(c, 2, 0);
  const int64_t code = attr_int(c.node(), "output_dtype");
  DType dtype = c.dtype(1);
  if (code != 0) {
    const auto asked = dtype_from_onnx(code);
    if (!asked || !is_floating(*asked)) c.fail(fmt::format("output_dtype {} is not a floating-point type", code));
    dtype = *asked;
  }
  c.set_output(0, dtype, c.shape(0));
}

template <typename From, typename To>
void dequantize(const RunContext& c, const ScaleGrid& grid) {
  const From* x = c.input(0).as<From>();
  To* y = c.output(0).as<To>();
  const std::vector<float> scales = scales_of(c);
  const From* zeros = c.has(2) ? c.input(2).as<From>() : nullptr;
  constexpr bool kNarrow = sizeof(From) <= 2 && !std::is_same_v<From, bool>;
  constexpr bool kInt32 = std::is_same_v<From, int32_t>;
  if constexpr (std::is_same_v<To, float> && (kNarrow || kInt32)) {
    const bool has_zeros =
        zeros != nullptr && std::any_of(zeros, zeros + c.input(2).size(), [](From z) { return z != 0; });
    if (grid.kind != ScaleGrid::Kind::kBlock && (kNarrow || !has_zeros)) {
      return each_run(grid, [&](int64_t first, int64_t count, int64_t s) {
        dequantize_linear(x + first, y + first, static_cast<size_t>(count),
                          {.scale = scales[static_cast<size_t>(s)], .zero = has_zeros ? zeros[s] : 0});
      });
    }
  }
  for_each_scaled(grid, [&](int64_t at, size_t s) {
    const int64_t zero = zeros != nullptr ? static_cast<int64_t>(zeros[s]) : 0;
    y[at] = To(static_cast<float>(static_cast<int64_t>(x[at]) - zero) * scales[s]);
  });
}

void run_dequantize(RunContext& c) {
  const ScaleGrid grid = scale_grid(c.node(), c.input(0).dims, c.input(1).dims, c.layout());
  if (is_small_float(c.input(0).dtype)) {
    switch (c.output(0).dtype) {
      case DType::kFloat32: return dequantize_small<float>(c, grid);
      case DType::kFloat16: return dequantize_small<Half>(c, grid);
      case DType::kBFloat16: return dequantize_small<BFloat16>(c, grid);
      default: break;
    }
    throw Error(ErrorCode::kUnsupported, "dequantization between these types", {.node = c.node().name});
  }
  visit_numeric(c.input(0).dtype, [&]<typename From>(Tag<From>) {
    if constexpr (std::is_integral_v<From>) {
      switch (c.output(0).dtype) {
        case DType::kFloat32: return dequantize<From, float>(c, grid);
        case DType::kFloat16: return dequantize<From, Half>(c, grid);
        case DType::kBFloat16: return dequantize<From, BFloat16>(c, grid);
        default: break;
      }
    }
    throw Error(ErrorCode::kUnsupported, "dequantization between these types", {.node = c.node().name});
  });
}

// All axes of the data are tied; the scales follow their axis, or the whole shape when they stand for blocks.
std::vector<AxisRelation> axes_quantize(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& x = c.input(0);
  const Dims& scale = c.input(1);
  const auto axis = attr_int(c.node(), "axis") + (attr_int(c.node(), "axis") < 0 ? static_cast<int64_t>(x.size()) : 0);
  const bool blocked = attr_int(c.node(), "block_size") != 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (blocked && static_cast<int64_t>(i) == axis) {
      relations.push_back(lock(in_axis(0, i), "its elements share scales in blocks"));
      continue;
    }
    if (x[i] <= 1) continue;
    AxisRelation relation = tie(x[i], {in_axis(0, i), out_axis(0, i)});
    const bool has_scale = blocked || (static_cast<int64_t>(i) == axis && scale.size() == 1 && scale[0] > 1);
    for (size_t port = 1; port < c.input_count() && has_scale; ++port) {
      if (c.has(port)) relation.refs.push_back(in_axis(port, blocked ? i : 0));
    }
    relations.push_back(std::move(relation));
  }
  return relations;
}

// A zero point of zeros, which says the type where the attribute `output_dtype` cannot.
std::string zero_point_of(ExportContext& c, DType integer) {
  const auto scales = c.graph().value(c.node().input(1)).type.shape.fixed();
  if (!scales) c.unsupported("scales of unknown shape");
  Tensor zeros = Tensor::allocate(integer, *scales);
  std::fill_n(zeros.mutable_data(), zeros.bytes().size(), std::byte{0});
  return c.helper_constant(std::move(zeros), "zero_point");
}

// com.microsoft's operators of the same names take 16 and 4 bits at any opset.
void export_microsoft(ExportContext& c, DType integer) {
  const bool quantizes = c.node().op == "quantize_linear";
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  if (quantizes && inputs.size() < 3) inputs.push_back(zero_point_of(c, integer));
  const auto scales = c.graph().value(c.node().input(1)).type.shape.element_count();
  Attrs attrs;
  if (!scales || *scales != 1) attrs.set("axis", attr_int(c.node(), "axis"));
  c.emit_as(fmt::format("{}::{}", kMicrosoft, quantizes ? "QuantizeLinear" : "DequantizeLinear"), std::move(inputs),
            std::move(attrs));
}

// Older opsets lack `axis` (13), `saturate` (19), `block_size`, `output_dtype` and the 4- and 16-bit types (21), and
// `precision` (23).
void export_quantize(ExportContext& c) {
  const Node& node = c.node();
  Attrs attrs = node.attrs;
  const bool quantizes = node.op == "quantize_linear";
  const DType integer = c.graph().value(quantizes ? node.output(0) : node.input(0)).type.dtype;
  const bool eight_bits = bit_width(integer) == 8 || (!quantizes && integer == DType::kInt32);
  const int64_t small_since = integer == DType::kFloat4E2M1 ? 23 : is_small_float(integer) ? 19 : 1;
  if (c.version() < small_since) {
    c.unsupported(fmt::format("elements of type {} need opset {}", name_of(integer), small_since));
  }
  if (c.version() < 21 && attr_int(node, "block_size") != 0) {
    c.unsupported(fmt::format("scales for blocks need opset 21, the file has {}", c.version()));
  }
  if (c.version() < 21 && integer != DType::kUndefined && !eight_bits) return export_microsoft(c, integer);
  if (c.version() < 13) {
    const auto scales = c.graph().value(node.input(1)).type.shape.element_count();
    if (!scales || *scales != 1)
      c.unsupported(fmt::format("scales per axis need opset 13, the file has {}", c.version()));
    attrs.erase("axis");
  }
  std::vector<std::string> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(c.value_name(input));
  if (c.version() < 21) {
    if (quantizes && inputs.size() < 3 && attr_int(node, "output_dtype") != 0) {
      inputs.push_back(zero_point_of(c, integer));
    }
    attrs.erase("output_dtype");
    attrs.erase("block_size");
  }
  if (c.version() < 19) attrs.erase("saturate");
  if (c.version() < 23) {
    attrs.erase("precision");
    if (!quantizes) attrs.erase("output_dtype");
  }
  c.emit(std::move(inputs), std::move(attrs));
}

SampleInput scalar(float value) { return fixed(Tensor::scalar<float>(value)); }
template <typename T>
SampleInput zero_point(T value) {
  return fixed(Tensor::scalar<T>(value));
}

std::vector<Sample> quantize_samples() {
  return {
      {.name = "uint8", .inputs = {random_input({2, 3, 5}, -3, 3), scalar(0.03f), zero_point<uint8_t>(117)}},
      {.name = "default_type", .inputs = {random_input({2, 7}, -1, 5), scalar(0.02f)}},
      {.name = "per_axis",
       .inputs = {random_input({2, 3, 5, 4}, -3, 3), random_weight({3}, 0.01, 0.05),
                  random_weight({3}, -9, 9, DType::kInt8)}},
      {.name = "last_axis",
       .inputs = {random_input({2, 3, 5}, -3, 3), random_weight({5}, 0.01, 0.05),
                  random_weight({5}, -9, 9, DType::kInt8)},
       .attrs = {{"axis", int64_t{-1}}}},
      {.name = "int16", .inputs = {random_input({4, 5}, -30, 30), scalar(0.001f), zero_point<int16_t>(-11)}},
      {.name = "blocked",
       .inputs = {random_input({3, 6}, -3, 3), random_weight({3, 2}, 0.1, 0.5),
                  random_weight({3, 2}, -9, 9, DType::kInt8)},
       .attrs = {{"axis", int64_t{1}}, {"block_size", int64_t{3}}}},
      {.name = "int4", .inputs = {random_input({4, 6}, -3, 3), scalar(0.4f)}, .attrs = {{"output_dtype", int64_t{22}}}},
      {.name = "float8e4m3fn",
       .inputs = {random_input({3, 5, 2}, -30, 30), random_weight({5}, 0.04, 0.1),
                  fixed(Tensor::of<float>({5}, {0, 0, 0, 0, 0}).cast(DType::kFloat8E4M3FN))}},
      {.name = "float8e5m2_unsaturated",
       .inputs = {fixed(Tensor::of<float>({2, 3}, {1e6f, -3e5f, 7.3f, 0, -9e4f, 1e-4f})), scalar(2.0f)},
       .attrs = {{"output_dtype", int64_t{19}}, {"saturate", int64_t{0}}}},
      {.name = "float4e2m1",
       .inputs = {random_input({4, 6}, -9, 9), scalar(1.2f)},
       .attrs = {{"output_dtype", int64_t{23}}}}};
}

std::vector<Sample> dequantize_samples() {
  return {{.name = "uint8",
           .inputs = {random_input({2, 3, 5}, 0, 255, DType::kUInt8), scalar(0.03f), zero_point<uint8_t>(117)}},
          {.name = "per_axis",
           .inputs = {random_input({2, 3, 5, 4}, -128, 127, DType::kInt8), random_weight({3}, 0.01, 0.05),
                      random_weight({3}, -9, 9, DType::kInt8)}},
          {.name = "int32", .inputs = {random_input({7}, -70000, 70000, DType::kInt32), scalar(0.001f)}},
          {.name = "int16",
           .inputs = {random_input({4, 5}, -3000, 3000, DType::kInt16), scalar(0.001f), zero_point<int16_t>(-11)}},
          {.name = "blocked",
           .inputs = {random_input({3, 6}, -100, 100, DType::kInt8), random_weight({3, 2}, 0.1, 0.5)},
           .attrs = {{"axis", int64_t{1}}, {"block_size", int64_t{3}}}},
          {.name = "float8e4m3fnuz",
           .inputs = {fixed(Tensor::of<float>({2, 3}, {1.5f, -200, 0.02f, 0, 7, -0.1f}).cast(DType::kFloat8E4M3FNUZ)),
                      scalar(0.3f)}}};
}

}  // namespace

void add_quantize_linear_op(OpTable& table) {
  const std::vector<AttrSpec> attrs = {int_attr("axis", 1), int_attr("block_size", 0), int_attr("output_dtype", 0)};
  std::vector<AttrSpec> quantize_attrs = attrs;
  quantize_attrs.push_back(int_attr("saturate", 1));
  quantize_attrs.push_back(int_attr("precision", 0));
  table.add({.name = "quantize_linear",
             .doc = "Quantizes: saturate(round(x / scale) + zero_point).",
             .inputs = {{.name = "x"},
                        {.name = "y_scale", .role = Role::kParameter},
                        {.name = "y_zero_point", .role = Role::kParameter, .optional = true}},
             .outputs = {{.name = "y"}},
             .attrs = quantize_attrs,
             .infer = infer_quantize,
             .run = run_quantize,
             .layout = LayoutRule::kFollow,
             .absorb_into = absorb_quantize_linear,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_quantize,
             .spellings = {onnx("QuantizeLinear", 10, kAllVersions, nullptr, export_quantize)},
             .samples = quantize_samples});
  table.add({.name = "dequantize_linear",
             .doc = "Dequantizes: (x - zero_point) * scale.",
             .inputs = {{.name = "x"},
                        {.name = "x_scale", .role = Role::kParameter},
                        {.name = "x_zero_point", .role = Role::kParameter, .optional = true}},
             .outputs = {{.name = "y"}},
             .attrs = attrs,
             .infer = infer_dequantize,
             .run = run_dequantize,
             .layout = LayoutRule::kFollow,
             .absorb_into = absorb_dequantize_linear,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_quantize,
             .spellings = {onnx("DequantizeLinear", 10, kAllVersions, nullptr, export_quantize)},
             .samples = dequantize_samples});
}

}  // namespace amct
