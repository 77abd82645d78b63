// MaxUnpool: puts elements back where MaxPool took them from, zeros elsewhere.
//
// Indices count elements of a tensor whose spatial extents are (x - 1) stride + kernel - pads. A larger output_shape
// extends it with zeros at the end of each axis.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/checked_math.h"
#include "ops/movement.h"

namespace amct {
namespace {

struct Unpooling {
  Ints kernel, strides, pads;
};

Unpooling unpooling_of(const Node& node) {
  Unpooling result{attr_ints(node, "kernel_shape"), attr_ints(node, "strides"), attr_ints(node, "pads")};
  const size_t axes = result.kernel.size();
  if (result.strides.empty()) result.strides.assign(axes, 1);
  if (result.pads.empty()) result.pads.assign(2 * axes, 0);
  const auto fail = [&](const char* name) {
    throw Error(ErrorCode::kInput, fmt::format("attribute '{}' does not fit a kernel of {} axes", name, axes),
                {.node = node.name, .op = node.op});
  };
  if (axes == 0 || std::any_of(result.kernel.begin(), result.kernel.end(), [](int64_t k) { return k < 1; }))
    fail("kernel_shape");
  if (result.strides.size() != axes) fail("strides");
  if (result.pads.size() != 2 * axes) fail("pads");
  return result;
}

// The extents that indices count in.
Dims indexed_dims(const Node& node, const Dims& x) {
  const Unpooling rule = unpooling_of(node);
  Dims dims = x;
  const size_t axes = rule.kernel.size();
  for (size_t i = 0; i < axes; ++i) {
    const auto steps = checked_mul(x[i + 2] - 1, rule.strides[i]);
    const auto pads = checked_add(rule.pads[i], rule.pads[axes + i]);
    const auto end = steps && pads ? checked_add(*steps, rule.kernel[i]) : std::nullopt;
    const auto extent = end ? checked_add(*end, -*pads) : std::nullopt;
    if (!extent || *extent < 0) {
      throw Error(ErrorCode::kInput, "its strides and pads give no extent", {.node = node.name, .op = node.op});
    }
    dims[i + 2] = *extent;
  }
  return dims;
}

void infer(InferContext& c) {
  const Unpooling rule = unpooling_of(c.node());
  const Shape& x = c.shape(0);
  if (x.ranked() && x.rank() != rule.kernel.size() + 2) {
    c.fail(fmt::format("its input has rank {}; its kernel needs {}", x.rank(), rule.kernel.size() + 2));
  }
  if (c.dtype(1) != DType::kUndefined && c.dtype(1) != DType::kInt64) c.fail("its indices are no int64");
  const auto count = c.shape(0).element_count(), indices = c.shape(1).element_count();
  if (count && indices && *count != *indices) {
    c.fail(fmt::format("it has indices {} for an input of {}", c.shape(1).to_string(), x.to_string()));
  }
  Shape y = Shape::of_rank(rule.kernel.size() + 2);
  const auto dims = x.fixed();
  if (dims && !c.has(2)) y = Shape::of(indexed_dims(c.node(), *dims));
  if (const auto asked = c.has(2) ? c.ints(2) : std::nullopt) {
    if (asked->size() != y.rank() || !checked_product(*asked)) c.fail("its output_shape does not fit its input");
    y = Shape::of(*asked);
    const Dims own = dims ? indexed_dims(c.node(), *dims) : *asked;
    for (size_t i = 0; i < own.size(); ++i) {
      if ((*asked)[i] < own[i])
        c.fail(fmt::format("its output_shape {} is below {}", to_string(*asked), to_string(own)));
    }
  }
  c.set_output(0, c.dtype(0), std::move(y));
}

// The offset in `outer` of element `index` of `inner`, whose extents are not larger.
int64_t offset_in(int64_t index, const Dims& inner, const Dims& outer) {
  int64_t offset = 0, stride = 1;
  for (size_t axis = inner.size(); axis-- > 0;) {
    offset += index % inner[axis] * stride;
    index /= inner[axis];
    stride *= outer[axis];
  }
  return offset;
}

void run(RunContext& c) {
  const Dims indexed = indexed_dims(c.node(), c.input(0).dims);
  const int64_t count = element_count(indexed);
  const size_t width = element_bytes(c.output(0).dtype);
  const auto* from = static_cast<const std::byte*>(c.input(0).data);
  auto* to = static_cast<std::byte*>(c.output(0).data);
  const int64_t* indices = c.input(1).as<int64_t>();
  std::memset(to, 0, c.output(0).bytes());
  for (int64_t i = 0; i < c.input(0).size(); ++i) {
    if (indices[i] < 0 || indices[i] >= count) {
      throw Error(ErrorCode::kInput, fmt::format("index {} is outside a tensor of {} elements", indices[i], count),
                  {.node = c.node().name, .op = c.node().op});
    }
    const int64_t at = offset_in(indices[i], indexed, c.output(0).dims);
    std::memcpy(to + static_cast<size_t>(at) * width, from + static_cast<size_t>(i) * width, width);
  }
}

std::vector<Sample> samples() {
  return {
      {.name = "strides",
       .inputs = {random_input({1, 2, 2, 3}),
                  fixed(Tensor::of<int64_t>({1, 2, 2, 3}, {0, 3, 10, 13, 20, 23, 24, 26, 35, 37, 39, 46}))},
       .attrs = {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}}},
      {.name = "pads",
       .inputs = {random_input({1, 1, 3}), fixed(Tensor::of<int64_t>({1, 1, 3}, {4, 0, 2}))},
       .attrs = {{"kernel_shape", Ints{3}}, {"strides", Ints{2}}, {"pads", Ints{1, 1}}}},
      {.name = "larger",
       .inputs = {random_input({1, 1, 2, 2}), fixed(Tensor::of<int64_t>({1, 1, 2, 2}, {5, 7, 13, 15})),
                  fixed_ints({1, 1, 5, 7})},
       .attrs = {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}},
       .skip_onnx_runtime = true,
       .reason = "ONNX Runtime counts indices in the larger tensor, ONNX in the one that the window gives"},
  };
}

}  // namespace

void add_max_unpool_op(OpTable& table) {
  table.add({.name = "max_unpool",
             .doc = "Puts elements back where a maximum pool took them from.",
             .inputs = {{"x"}, {"indices", Role::kParameter}, shape_port("output_shape", true)},
             .outputs = {{"y"}},
             .attrs = {required_attr("kernel_shape", AttrType::kInts), ints_attr("strides"), ints_attr("pads")},
             .infer = infer,
             .timing = ShapeTiming::kFromValues,
             .run = run,
             .quant = QuantRule::keep_float("it fills with zeros, which its input's quantizer need not hold"),
             .axes = axes_none,
             .spellings = {onnx("MaxUnpool", 9)},
             .samples = samples});
}

}  // namespace amct
