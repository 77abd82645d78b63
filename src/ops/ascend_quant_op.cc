// The quantization operators of Ascend deploy models, executed exactly as they are documented:
//   ascend_quant         y = sat(round_half_even(x * scale) + offset)          scale = 1 / scale_d
//   ascend_dequant       y = x * deq, or with shift N: y = clip16(floor(x / 2^N)) * 2^N * deq
//   ascend_anti_quant    y = (x + offset) * scale                              scale = scale_d
//   ascend_weight_quant  y = x - offset_w
// An element of the dequantization parameter is a uint64: bits 0-31 the float32 deq = scale_d * scale_w, bits 32-39
// offset_w (int8), bits 40-47 the shift N. In files they stand in the standard domain of ONNX.
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "ir/dispatch.h"
#include "kernels/simd/fake_quant.h"
#include "ops/input_checks.h"
#include "ops/integer_epilogue.h"
#include "ops/op_row.h"
#include "ops/quantize_common.h"

namespace amct {
namespace {

// The integers that a `dst_type` names.
struct IntegerRange {
  DType dtype = DType::kInt8;
  int32_t low = -128;
  int32_t high = 127;
};

IntegerRange range_of(const Node& node) {
  const std::string name = attr_string(node, "dst_type");
  if (name == "INT8") return {DType::kInt8, -128, 127};
  if (name == "INT16") return {DType::kInt16, -32768, 32767};
  if (name == "INT4") return {DType::kInt4, -8, 7};
  throw Error(ErrorCode::kUnsupported, fmt::format("dst_type '{}' is not known", name),
              {.node = node.name, .op = node.op}, "it may be INT4, INT8 or INT16");
}

// The float type that the attribute `dtype` of a dequantization asks for.
DType float_type_of(const Node& node) {
  const int64_t code = attr_int(node, "dtype");
  if (code == 0) return DType::kFloat32;
  if (code == 1) return DType::kFloat16;
  throw Error(ErrorCode::kUnsupported, fmt::format("dtype {} is not known", code), {.node = node.name, .op = node.op},
              "it may be 0 (float32) or 1 (float16)");
}

void infer_quant(InferContext& c) {
  const DType from = c.dtype(0);
  if (from != DType::kUndefined && !is_floating(from)) {
    c.fail(fmt::format("quantizes floating-point values, not {}", name_of(from)));
  }
  const DType to = range_of(c.node()).dtype;
  check_factor(c, "scale");
  check_offset(c, "offset", to == DType::kInt4 ? DType::kInt8 : to);  // AMCT takes such offsets: 4-bit values saturate
  c.set_output(0, to, c.shape(0));
}

void run_quant(RunContext& c) {
  const IntegerRange range = range_of(c.node());
  const QuantizeSpec spec = {.inv_scale = static_cast<float>(attr_float(c.node(), "scale")),
                             .offset = static_cast<int32_t>(attr_float(c.node(), "offset")),
                             .low = range.low,
                             .high = range.high};
  const TensorView& x = c.input(0);
  std::vector<float> converted;
  const float* from = static_cast<const float*>(x.data);
  if (x.dtype != DType::kFloat32) {
    converted.resize(x.size());
    visit_numeric(x.dtype, [&]<typename From>(Tag<From>) {
      for (int64_t i = 0; i < x.size(); ++i) converted[i] = static_cast<float>(x.as<From>()[i]);
    });
    from = converted.data();
  }
  if (range.dtype == DType::kInt16) {
    quantize(from, c.output(0).as<int16_t>(), x.size(), spec);
  } else {
    quantize(from, c.output(0).as<int8_t>(), x.size(), spec);
  }
}

void infer_dequant(InferContext& c) {
  const Shape& x = c.shape(0);
  const Shape& parameter = c.shape(1);
  if (c.dtype(1) != DType::kUInt64 && c.dtype(1) != DType::kUndefined) {
    c.fail(fmt::format("the dequantization parameter is {}, not uint64", name_of(c.dtype(1))));
  }
  if (parameter.ranked()) {
    const auto count = parameter.element_count();
    if (parameter.rank() > 1) c.fail("the dequantization parameter has more than one dimension");
    if (count && *count != 1 && x.ranked()) {
      if (x.rank() < 2) c.fail("a parameter for each channel needs an input with channels");
      if (x[1].is_fixed() && x[1].extent() != *count) {
        c.fail(fmt::format("{} dequantization parameters for {} channels", *count, x[1].extent()));
      }
    }
  }
  c.set_output(0, float_type_of(c.node()), x);
}

struct DequantParameter {
  float scale = 1;
  int shift = 0;
};

DequantParameter unpack(uint64_t packed) {
  return {std::bit_cast<float>(static_cast<uint32_t>(packed)), static_cast<int>((packed >> 40) & 0xff)};
}

template <typename From, typename To>
To dequantize(From x, const DequantParameter& parameter) {
  if constexpr (std::is_integral_v<From>) {
    if (parameter.shift > 0) {
      const int shift = std::min(parameter.shift, 31);
      const int64_t shifted = std::clamp<int64_t>(static_cast<int64_t>(x) >> shift, -32768, 32767);
      return To(static_cast<float>(shifted) * (parameter.scale * std::ldexp(1.0f, shift)));
    }
  }
  return To(static_cast<float>(x) * parameter.scale);
}

template <typename From, typename To>
void dequantize_row(const From* from, int64_t count, const DequantParameter& parameter, To* to) {
  if (parameter.shift == 0) {  // the usual case, without a branch for every element
    for (int64_t i = 0; i < count; ++i) to[i] = To(static_cast<float>(from[i]) * parameter.scale);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = dequantize<From, To>(from[i], parameter);
  }
}

template <typename From, typename To>
void run_dequant_typed(const RunContext& c, const std::vector<DequantParameter>& parameters) {
  const TensorView& x = c.input(0);
  const From* from = x.as<From>();
  To* to = c.output(0).as<To>();
  if (parameters.size() == 1) {
    return dequantize_row(from, x.size(), parameters[0], to);
  }
  const size_t axis = c.memory_axis(1, x.dims.size());
  int64_t inner = 1;
  for (size_t i = axis + 1; i < x.dims.size(); ++i) inner *= x.dims[i];
  const int64_t channels = x.dims[axis];
  const int64_t outer = channels * inner == 0 ? 0 : x.size() / (channels * inner);
  if (inner == 1 && std::none_of(parameters.begin(), parameters.end(), [](auto& p) { return p.shift > 0; })) {
    std::vector<float> scales;
    for (const DequantParameter& parameter : parameters) scales.push_back(parameter.scale);
    for (int64_t o = 0; o < outer; ++o, from += channels, to += channels) {
      for (int64_t ch = 0; ch < channels; ++ch) to[ch] = To(static_cast<float>(from[ch]) * scales[ch]);
    }
    return;
  }
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t ch = 0; ch < channels; ++ch, from += inner, to += inner) {
      dequantize_row(from, inner, parameters[ch], to);
    }
  }
}

void run_dequant(RunContext& c) {
  const TensorView& packed = c.input(1);
  std::vector<DequantParameter> parameters(packed.size());
  std::transform(packed.as<uint64_t>(), packed.as<uint64_t>() + packed.size(), parameters.begin(), unpack);
  const bool half = float_type_of(c.node()) == DType::kFloat16;
  const auto run_from = [&]<typename From>(Tag<From>) {
    half ? run_dequant_typed<From, Half>(c, parameters) : run_dequant_typed<From, float>(c, parameters);
  };
  switch (c.input(0).dtype) {
    case DType::kInt32: return run_from(Tag<int32_t>{});
    case DType::kInt64: return run_from(Tag<int64_t>{});
    case DType::kFloat32: return run_from(Tag<float>{});
    default: break;
  }
  throw Error(ErrorCode::kInput, fmt::format("dequantizes accumulators, not {}", name_of(c.input(0).dtype)),
              {.node = c.node().name, .op = c.node().op});
}

std::optional<Epilogue> absorb_quant(const AbsorbQuery& q) {
  const IntegerRange range = range_of(q.node);
  if (range.dtype == DType::kInt4 || q.dtype(q.node.input(0)) != DType::kFloat32) return std::nullopt;
  return integer_stages({{.kind = IntStage::Kind::kQuantize,
                          .low = static_cast<float>(range.low),
                          .high = static_cast<float>(range.high),
                          .scale = static_cast<float>(attr_float(q.node, "scale")),
                          .zero = static_cast<float>(static_cast<int32_t>(attr_float(q.node, "offset")))}},
                        range.dtype);
}

std::optional<Epilogue> absorb_dequant(const AbsorbQuery& q) {
  const Tensor* packed = q.graph.constant(q.node.input(1));
  const bool is_float = q.dtype(q.node.output()) == DType::kFloat32;
  if (q.through != 0 || packed == nullptr || !is_float || q.dtype(q.node.input(0)) != DType::kInt32)
    return std::nullopt;
  IntStage stage{.kind = IntStage::Kind::kScale};
  for (const uint64_t word : packed->values<uint64_t>()) {
    const DequantParameter parameter = unpack(word);
    if (parameter.shift > 0) return std::nullopt;
    stage.scales.push_back(parameter.scale);
  }
  return integer_stages({std::move(stage)}, DType::kFloat32);
}

// The axes of input 0 are those of the output; a parameter for each channel follows axis 1.
std::vector<AxisRelation> axes_dequant(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& x = c.input(0);
  const bool per_channel = c.input(1).size() == 1 && c.input(1)[0] > 1;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    if (x[axis] <= 1) continue;
    relations.push_back(tie(x[axis], {in_axis(0, axis), out_axis(0, axis)}));
    if (axis == 1 && per_channel) relations.back().refs.push_back(in_axis(1, 0));
  }
  return relations;
}

void infer_anti_quant(InferContext& c) { c.set_output(0, float_type_of(c.node()), c.shape(0)); }

void run_anti_quant(RunContext& c) {
  const auto scale = static_cast<float>(attr_float(c.node(), "scale"));
  const auto offset = static_cast<float>(attr_float(c.node(), "offset"));
  const TensorView& x = c.input(0);
  const bool half = float_type_of(c.node()) == DType::kFloat16;
  visit_numeric(x.dtype, [&]<typename From>(Tag<From>) {
    const From* from = x.as<From>();
    for (int64_t i = 0; i < x.size(); ++i) {
      const float y = (static_cast<float>(from[i]) + offset) * scale;
      if (half) {
        c.output(0).as<Half>()[i] = Half(y);
      } else {
        c.output(0).as<float>()[i] = y;
      }
    }
  });
}

void run_weight_quant(RunContext& c) {
  const TensorView& x = c.input(0);
  const TensorView& offsets = c.input(1);
  const int64_t count = std::max<int64_t>(offsets.size(), 1);
  const int64_t inner = x.size() / count;
  for (int64_t i = 0; i < x.size(); ++i) {
    const int value = x.as<int8_t>()[i] - (offsets.size() > 0 ? offsets.as<int8_t>()[i / inner] : 0);
    c.output(0).as<int8_t>()[i] = static_cast<int8_t>(std::clamp(value, -128, 127));
  }
}

void infer_weight_quant(InferContext& c) {
  const TypeSet weights = [](DType dtype) { return dtype == DType::kInt8 || dtype == DType::kInt4; };
  for (const size_t port : {0, 1}) expect_type(c, port, weights);
  const auto offsets = c.shape(1).element_count();
  const auto elements = c.shape(0).element_count();
  if (offsets && elements && *offsets > 1 && (!c.shape(0).ranked() || *elements % *offsets != 0)) {
    c.fail(fmt::format("{} weight offsets do not divide {} weights", *offsets, *elements));
  }
  c.set_output(0, range_of(c.node()).dtype, c.shape(0));
}

Sample sample(std::string name, std::vector<SampleInput> inputs, Attrs attrs) {
  return {.name = std::move(name),
          .inputs = std::move(inputs),
          .attrs = std::move(attrs),
          .skip_onnx_runtime = true,
          .reason = "an operator of Ascend's"};
}

std::vector<Sample> quant_samples() {
  return {
      sample("int8", {random_input({2, 3, 5, 7}, -4, 4)}, {{"scale", 40.0}, {"offset", -7.0}, {"dst_type", "INT8"}}),
      sample("int16", {random_input({3, 11}, -9, 9)}, {{"scale", 4000.0}, {"offset", 123.0}, {"dst_type", "INT16"}}),
      sample("int4", {random_input({2, 6}, -1, 1)}, {{"scale", 7.0}, {"offset", 0.0}, {"dst_type", "INT4"}})};
}

uint64_t packed(float scale, int shift) {
  return static_cast<uint64_t>(std::bit_cast<uint32_t>(scale)) | static_cast<uint64_t>(shift) << 40;
}

std::vector<Sample> dequant_samples() {
  const auto accumulators = [](Dims dims) { return random_input(std::move(dims), -90000, 90000, DType::kInt32); };
  return {sample("per_tensor", {accumulators({2, 5}), fixed(Tensor::of<uint64_t>({1}, {packed(0.25f, 0)}))},
                 {{"dtype", int64_t{0}}}),
          sample("per_channel",
                 {accumulators({2, 3, 4, 5}),
                  fixed(Tensor::of<uint64_t>({3}, {packed(0.5f, 0), packed(1e-3f, 0), packed(3.0f, 0)}))},
                 {{"dtype", int64_t{0}}}),
          sample("shift",
                 {accumulators({2, 2, 7}), fixed(Tensor::of<uint64_t>({2}, {packed(0.5f, 3), packed(1e-3f, 1)}))}, {}),
          sample("half", {accumulators({3, 4}), fixed(Tensor::of<uint64_t>({1}, {packed(1e-3f, 0)}))},
                 {{"dtype", int64_t{1}}})};
}

std::vector<Sample> anti_quant_samples() {
  return {sample("int8", {random_input({2, 3, 4}, -128, 127, DType::kInt8)},
                 {{"scale", 0.5}, {"offset", 2.0}, {"dst_type", "INT8"}})};
}

std::vector<Sample> weight_quant_samples() {
  return {sample("zero", {random_weight({4, 3}, -100, 100, DType::kInt8), fixed(Tensor::of<int8_t>({1}, {0}))},
                 {{"dst_type", "INT8"}})};
}

QuantRule already() { return QuantRule::keep_float("it belongs to a model that is quantized already"); }

}  // namespace

void add_ascend_quant_op(OpTable& table) {
  table.add({.name = "ascend_quant",
             .doc = "Quantizes to the integers of Ascend: sat(round(x * scale) + offset).",
             .inputs = {{.name = "x"}},
             .outputs = {{.name = "y"}},
             .attrs = {float_attr("scale", 1), float_attr("offset", 0), string_attr("dst_type", "INT8")},
             .infer = infer_quant,
             .run = run_quant,
             .layout = LayoutRule::kFollow,
             .absorb_into = absorb_quant,
             .quant = already(),
             .axes = axes_elementwise,
             .spellings = {onnx("AscendQuant")},
             .samples = quant_samples});
  table.add({.name = "ascend_dequant",
             .doc = "Turns accumulators into floats: x * deq, one packed parameter per tensor or channel.",
             .inputs = {{.name = "x"}, {.name = "deq_scale", .role = Role::kParameter}},
             .outputs = {{.name = "y"}},
             .attrs = {int_attr("dtype", 0)},
             .infer = infer_dequant,
             .run = run_dequant,
             .layout = LayoutRule::kFollow,
             .absorb_into = absorb_dequant,
             .quant = already(),
             .axes = axes_dequant,
             .spellings = {onnx("AscendDequant")},
             .samples = dequant_samples});
  table.add({.name = "ascend_anti_quant",
             .doc = "Turns quantized integers back into floats: (x + offset) * scale.",
             .inputs = {{.name = "x"}},
             .outputs = {{.name = "y"}},
             .attrs = {float_attr("scale", 1), float_attr("offset", 0), string_attr("dst_type", "INT8"),
                       int_attr("dtype", 0)},
             .infer = infer_anti_quant,
             .run = run_anti_quant,
             .layout = LayoutRule::kFollow,
             .quant = already(),
             .axes = axes_elementwise,
             .spellings = {onnx("AscendAntiQuant")},
             .samples = anti_quant_samples});
  table.add({.name = "ascend_weight_quant",
             .doc = "Removes the offset of quantized weights: x - offset_w.",
             .inputs = {{.name = "x"}, {.name = "offset_w", .role = Role::kParameter}},
             .outputs = {{.name = "y"}},
             .attrs = {string_attr("dst_type", "INT8")},
             .infer = infer_weight_quant,
             .run = run_weight_quant,
             .quant = already(),
             .axes = axes_none,
             .spellings = {onnx("AscendWeightQuant")},
             .samples = weight_quant_samples});
}

}  // namespace amct
