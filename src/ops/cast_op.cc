// Cast and cast_like: values in another element type.
//
// ir/cast_element.h says what becomes of values out of range, which ONNX leaves undefined. Attribute `to` is ONNX's
// number of the type. The 8- and 4-bit floats go through float32 and follow `saturate` (ir/small_float.h). Complex
// numbers and strings cannot be cast.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "ir/cast_element.h"
#include "ir/small_float.h"
#include "ops/elementwise.h"
#include "ops/onnx_types.h"

namespace amct {
namespace {

constexpr int64_t kFloat8Opset = 19;  // adds the attribute `saturate`
constexpr int64_t kToIsNumberOpset = 6;

void infer_cast(InferContext& c) {
  const int64_t code = attr_int(c.node(), "to");
  const auto to = dtype_from_onnx(code);
  if (!to) c.fail(fmt::format("attribute 'to' is {}, which is no element type", code));
  c.set_output(0, *to, c.shape(0));
}

void infer_cast_like(InferContext& c) { c.set_output(0, c.dtype(1), c.shape(0)); }

// To elements of 4 bits: floats stop at the ends of the range, integers keep their low 4 bits, sign-extended.
template <typename To>
To cast_to_4_bits(auto x) {
  if constexpr (std::is_floating_point_v<decltype(x)>) {
    const double low = std::is_signed_v<To> ? -8 : 0;
    return static_cast<To>(std::clamp<double>(x == x ? x : 0, low, low + 15));
  } else {
    const auto bits = static_cast<To>(static_cast<uint64_t>(x) & 0xf);
    return std::is_signed_v<To> && bits > 7 ? static_cast<To>(bits - 16) : bits;
  }
}

// to[i] = from[i]; `from` has a type of visit_numeric.
void cast_elements(const TensorView& from, const MutableView& to, bool saturate) {
  const int64_t n = to.size();
  visit_numeric(from.dtype, [&]<typename From>(Tag<From>) {
    const From* x = from.as<From>();
    if (is_small_float(to.dtype)) {
      uint8_t* y = to.as<uint8_t>();
      for (int64_t i = 0; i < n; ++i) {
        y[i] = small_float_code(to.dtype, static_cast<float>(static_cast<Compute<From>>(x[i])), saturate);
      }
      return;
    }
    const bool to_4_bits = bit_width(to.dtype) == 4;
    visit_numeric(to.dtype, [&]<typename To>(Tag<To>) {
      To* y = to.as<To>();
      if constexpr (std::is_same_v<To, int8_t> || std::is_same_v<To, uint8_t>) {
        for (int64_t i = 0; to_4_bits && i < n; ++i) y[i] = cast_to_4_bits<To>(static_cast<Compute<From>>(x[i]));
        if (to_4_bits) return;
      }
      for (int64_t i = 0; i < n; ++i) y[i] = cast_element<To>(x[i]);
    });
  });
}

void run_cast(RunContext& c) {
  const bool saturate = attr_int(c.node(), "saturate") != 0;
  if (!is_small_float(c.input(0).dtype)) return cast_elements(c.input(0), c.output(0), saturate);
  const Tensor wide = Tensor::copy_of(c.input(0)).cast(DType::kFloat32);
  cast_elements(wide.view(), c.output(0), saturate);
}

void import_cast(ImportContext& c) {
  if (c.attrs().get<int64_t>("to", 0) == onnx_code(DType::kString)) c.unsupported("strings are not computed with");
  if (c.version() < kToIsNumberOpset) c.unsupported("a type by name; opset 6 and later give its number");
  import_default(c);
}

void export_cast(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  for (const ValueId id : {c.node().input(0), c.node().output(0)}) {
    const DType dtype = c.graph().value(id).type.dtype;
    const int64_t since = dtype == DType::kFloat4E2M1 ? 23 : is_small_float(dtype) ? kFloat8Opset : 1;
    if (c.version() < since) c.unsupported(fmt::format("elements of type {} need opset {}", name_of(dtype), since));
  }
  if (c.version() < kFloat8Opset) attrs.erase("saturate");
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  c.emit(std::move(inputs), std::move(attrs));
}

// Values around the ends and the steps of the small types; infinities and NaN where the type below can hold them.
Sample small_float_sample(DType to, bool saturate) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{0.0f,   -0.0f, 0.3f,  -1.55f, 5.0f,  17.5f, -239.0f, 248.0f,   449.0f,   -464.0f,
                            470.0f, 2e4f,  -6e4f, 7e4f,   1e-3f, 2e-5f, 7.7e-6f, infinity, -infinity};
  Sample sample{.name = fmt::format("float32_to_{}{}", name_of(to), saturate ? "" : "_unsaturated"),
                .inputs = {fixed(Tensor::of<float>({static_cast<int64_t>(values.size())}, values))},
                .attrs = {{"to", int64_t{onnx_code(to)}}}};
  if (!saturate) sample.attrs.set("saturate", int64_t{0});
  return sample;
}

std::vector<Sample> cast_samples() {
  const auto sample = [](DType from, DType to, double low, double high) {
    return unary_sample(fmt::format("{}_to_{}", name_of(from), name_of(to)), {2, 3, 5}, low, high, from,
                        {{"to", int64_t{onnx_code(to)}}});
  };
  std::vector<Sample> samples = {
      sample(DType::kFloat32, DType::kInt32, -9, 9),     sample(DType::kFloat32, DType::kFloat16, -9, 9),
      sample(DType::kFloat16, DType::kFloat32, -9, 9),   sample(DType::kFloat32, DType::kFloat64, -9, 9),
      sample(DType::kFloat32, DType::kBool, 0, 1),       sample(DType::kInt64, DType::kFloat32, -90, 90),
      sample(DType::kInt64, DType::kInt8, -500, 500),    sample(DType::kInt32, DType::kUInt8, -500, 500),
      sample(DType::kBool, DType::kFloat32, 0, 1),       sample(DType::kUInt8, DType::kInt64, 0, 255),
      sample(DType::kFloat64, DType::kInt64, -1e6, 1e6), sample(DType::kFloat32, DType::kBFloat16, -9, 9),
      sample(DType::kBFloat16, DType::kFloat32, -9, 9)};
  for (const DType small : {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ}) {
    samples.push_back(small_float_sample(small, true));
    samples.push_back(small_float_sample(small, false));
    const Tensor codes = Tensor::of<float>({2, 3}, {0.3f, -17, 200, 0, -0.02f, 1.5f}).cast(small);
    samples.push_back({.name = fmt::format("{}_to_float32", name_of(small)),
                       .inputs = {fixed(codes)},
                       .attrs = {{"to", int64_t{onnx_code(DType::kFloat32)}}}});
  }
  samples.push_back(small_float_sample(DType::kFloat4E2M1, true));
  return samples;
}

std::vector<Sample> cast_like_samples() {
  return {{.name = "to_int32", .inputs = {random_input({2, 3, 5}, -9, 9), random_input({7}, -9, 9, DType::kInt32)}},
          {.name = "to_float", .inputs = {random_input({2, 3, 5}, -9, 9, DType::kInt64), random_input({}, -9, 9)}}};
}

std::vector<AxisRelation> axes_of_data(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.output(0).size(); ++axis) {
    if (c.output(0)[axis] > 1) relations.push_back(tie(c.output(0)[axis], {in_axis(0, axis), out_axis(0, axis)}));
  }
  return relations;
}

}  // namespace

void add_cast_op(OpTable& table) {
  table.add({.name = "cast",
             .doc = "The values as elements of another type.",
             .inputs = {{"x"}},
             .outputs = {{"y"}},
             .attrs = {required_attr("to", AttrType::kInt), int_attr("saturate", 1)},
             .infer = infer_cast,
             .run = run_cast,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::keep_float("it changes the element type"),
             .axes = axes_of_data,
             .spellings = {onnx("Cast", 1, std::numeric_limits<int64_t>::max(), import_cast, export_cast)},
             .samples = cast_samples});
  table.add({.name = "cast_like",
             .doc = "The values as elements of the second input's type.",
             .inputs = {{"x"}, {"target", Role::kParameter}},
             .outputs = {{"y"}},
             .attrs = {int_attr("saturate", 1)},
             .infer = infer_cast_like,
             .run = run_cast,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::keep_float("it changes the element type"),
             .axes = axes_of_data,
             .spellings = {onnx("CastLike", 15, std::numeric_limits<int64_t>::max(), nullptr, export_cast)},
             .samples = cast_like_samples});
}

}  // namespace amct
