// Cast and cast_like: values in another element type.
//
// Floats to integers truncate; beyond 64 bits they stop at the ends of int64 and NaN gives 0, then the low bits are
// kept, as between integers (ONNX leaves floats out of range undefined). Anything but 0 is true. Attribute `to` is
// ONNX's number of the type. 8-bit floats, complex numbers and strings cannot be cast.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

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

int64_t saturated_int64(double x) {
  if (x != x) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (x < -0x1p63) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

template <typename To, typename From>
To cast_element(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (x >= From{0x1p63}) return x >= From{0x1p64} ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(x);
    }
    return static_cast<To>(saturated_int64(static_cast<double>(x)));
  } else {
    return static_cast<To>(static_cast<Compute<To>>(x));
  }
}

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

void run_cast(RunContext& c) {
  const bool to_4_bits = bit_width(c.output(0).dtype) == 4;
  visit_numeric(c.input(0).dtype, [&]<typename From>(Tag<From>) {
    visit_numeric(c.output(0).dtype, [&]<typename To>(Tag<To>) {
      if constexpr (std::is_same_v<To, int8_t> || std::is_same_v<To, uint8_t>) {
        if (to_4_bits) return map_elements<From, To>(c, [](Compute<From> x) { return cast_to_4_bits<To>(x); });
      }
      map_elements<From, To>(c, [](Compute<From> x) { return cast_element<To>(x); });
    });
  });
}

void import_cast(ImportContext& c) {
  if (c.version() < kToIsNumberOpset) c.unsupported("a type by name; opset 6 and later give its number");
  import_default(c);
}

void export_cast(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  if (c.version() < kFloat8Opset) attrs.erase("saturate");
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<Sample> cast_samples() {
  const auto sample = [](DType from, DType to, double low, double high) {
    return unary_sample(fmt::format("{}_to_{}", name_of(from), name_of(to)), {2, 3, 5}, low, high, from,
                        {{"to", int64_t{onnx_code(to)}}});
  };
  return {sample(DType::kFloat32, DType::kInt32, -9, 9),     sample(DType::kFloat32, DType::kFloat16, -9, 9),
          sample(DType::kFloat16, DType::kFloat32, -9, 9),   sample(DType::kFloat32, DType::kFloat64, -9, 9),
          sample(DType::kFloat32, DType::kBool, 0, 1),       sample(DType::kInt64, DType::kFloat32, -90, 90),
          sample(DType::kInt64, DType::kInt8, -500, 500),    sample(DType::kInt32, DType::kUInt8, -500, 500),
          sample(DType::kBool, DType::kFloat32, 0, 1),       sample(DType::kUInt8, DType::kInt64, 0, 255),
          sample(DType::kFloat64, DType::kInt64, -1e6, 1e6), sample(DType::kFloat32, DType::kBFloat16, -9, 9),
          sample(DType::kBFloat16, DType::kFloat32, -9, 9)};
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
