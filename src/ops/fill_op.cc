// ConstantOfShape, Range, EyeLike, OneHot, Trilu: tensors made from a rule.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ir/dispatch.h"
#include "kernels/index/strided.h"
#include "ops/input_checks.h"
#include "ops/movement.h"
#include "ops/onnx_types.h"

namespace amct {
namespace {

constexpr const char* kNotComputed = "its result is made by a rule, not from activations";

// The one element that fills the result; float 0 unless given.
Tensor fill_value(const Node& node) {
  Tensor value = node.attrs.get<Tensor>("value", Tensor::scalar(0.0f));
  if (value.size() != 1) {
    throw Error(ErrorCode::kInput, fmt::format("attribute 'value' has {} elements, not one", value.size()),
                {.node = node.name, .op = node.op});
  }
  return value;
}

void infer_constant_of_shape(InferContext& c) {
  const DType dtype = fill_value(c.node()).dtype();
  const auto extents = c.ints(0);
  if (!extents) {
    const Shape& length = c.shape(0);
    const bool known = length.ranked() && length.rank() == 1 && length[0].is_fixed() && length[0].extent() < 64;
    return c.set_output(0, dtype, known ? Shape::of_rank(static_cast<size_t>(length[0].extent())) : Shape());
  }
  for (const int64_t extent : *extents) {
    if (extent < 0) c.fail(fmt::format("the shape {} has a negative extent", to_string(*extents)));
  }
  c.set_output(0, dtype, Shape::of(*extents));
}

void run_constant_of_shape(RunContext& c) {
  const Tensor value = fill_value(c.node());
  fill_elements(element_bytes(value.dtype()), value.view().data, c.output(0).size(), c.output(0).data);
}

int64_t range_count(const Tensor& start, const Tensor& limit, const Tensor& delta, const Node& node) {
  const Where where{.node = node.name, .op = node.op};
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1) {
    throw Error(ErrorCode::kInput, "start, limit and delta must be single numbers", where);
  }
  double count = 0;
  if (is_integer(start.dtype())) {
    const int64_t step = delta.to_int64s()[0];
    if (step == 0) throw Error(ErrorCode::kInput, "a delta of 0 leads nowhere", where);
    const auto distance = static_cast<__int128>(limit.to_int64s()[0]) - start.to_int64s()[0];
    const __int128 steps = distance / step + (distance % step != 0 ? 1 : 0);
    if ((distance < 0) != (step < 0)) return 0;
    count = static_cast<double>(steps);
  } else {
    const double step = delta.to_doubles()[0];
    if (step == 0) throw Error(ErrorCode::kInput, "a delta of 0 leads nowhere", where);
    count = std::ceil((limit.to_doubles()[0] - start.to_doubles()[0]) / step);
  }
  if (!(count < 0x1p40)) throw Error(ErrorCode::kInput, "the range has too many elements", where);
  return static_cast<int64_t>(std::max(count, 0.0));
}

void infer_range(InferContext& c) {
  expect_same_types(c);
  Shape shape = Shape::of_rank(1);
  if (c.value(0) != nullptr && c.value(1) != nullptr && c.value(2) != nullptr) {
    shape[0] = range_count(*c.value(0), *c.value(1), *c.value(2), c.node());
  }
  c.set_output(0, c.dtype(0), shape);
}

void run_range(RunContext& c) {
  visit_numeric(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      using C = Compute<T>;
      const C start = static_cast<C>(*c.input(0).as<T>());
      const C delta = static_cast<C>(*c.input(2).as<T>());
      T* out = c.output(0).as<T>();
      const int64_t count = c.output(0).size();
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(static_cast<C>(start + static_cast<C>(i) * delta));
    }
  });
}

size_t one_hot_axis(const Node& node, size_t rank) {
  return static_cast<size_t>(normalize_axis(attr_int(node, "axis"), rank, true));
}

void infer_one_hot(InferContext& c) {
  const Shape& indices = c.shape(0);
  if (!indices.ranked()) return c.set_output(0, c.dtype(2), Shape());
  const auto depth = c.ints(1);
  if (depth && (depth->size() != 1 || (*depth)[0] < 0)) {
    c.fail(fmt::format("depth {} is not one number >= 0", to_string(*depth)));
  }
  const auto values = c.shape(2).fixed();
  if (values && element_count(*values) != 2) c.fail("values must hold two numbers: off and on");
  std::vector<Dim> dims = indices.dims();
  const size_t axis = one_hot_axis(c.node(), indices.rank());
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), depth ? Dim((*depth)[0]) : Dim());
  c.set_output(0, c.dtype(2), Shape(std::move(dims)));
}

void run_one_hot(RunContext& c) {
  const Dims& out = c.output(0).dims;
  const size_t axis = one_hot_axis(c.node(), c.input(0).dims.size());
  const int64_t depth = out[axis];
  int64_t inner = 1;
  for (size_t i = axis + 1; i < out.size(); ++i) inner *= out[i];
  const Tensor indices = Tensor::copy_of(c.input(0));
  const size_t element = element_bytes(c.output(0).dtype);
  const auto* values = static_cast<const std::byte*>(c.input(2).data);
  auto* target = static_cast<std::byte*>(c.output(0).data);
  fill_elements(element, values, c.output(0).size(), target);
  int64_t position = 0;
  for (int64_t index : indices.to_int64s()) {
    const int64_t at = position++;
    if (index < -depth || index >= depth) continue;  // the standard: all off
    if (index < 0) index += depth;
    const int64_t offset = (at / inner * depth + index) * inner + at % inner;
    std::memcpy(target + static_cast<size_t>(offset) * element, values + element, element);
  }
}

std::vector<AxisRelation> axes_one_hot(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& indices = c.input(0);
  const size_t axis = one_hot_axis(c.node(), indices.size());
  for (size_t i = 0; i < indices.size(); ++i) {
    add_tie(relations, indices[i], {in_axis(0, i), out_axis(0, i < axis ? i : i + 1)});
  }
  relations.push_back(lock(out_axis(0, axis), "it counts the classes"));
  return relations;
}

void infer_trilu(InferContext& c) {
  if (c.shape(0).ranked() && c.shape(0).rank() < 2) {
    c.fail(fmt::format("shape {} holds no matrices", c.shape(0).to_string()));
  }
  infer_same_as_first(c);
}

void run_trilu(RunContext& c) {
  const bool upper = attr_int(c.node(), "upper") != 0;
  const Ints given = ints_of(c.has(1) ? c.input(1) : TensorView{});
  const int64_t k = given.empty() ? 0 : given[0];
  const Dims& dims = c.input(0).dims;
  const int64_t rows = dims[dims.size() - 2], columns = dims.back();
  copy_whole(c);
  if (c.output(0).size() == 0) return;
  const size_t element = element_bytes(c.output(0).dtype);
  auto* row = static_cast<std::byte*>(c.output(0).data);
  const int64_t matrices = c.output(0).size() / (rows * columns);
  for (int64_t i = 0; i < matrices * rows; ++i, row += static_cast<size_t>(columns) * element) {
    // The upper part holds column - row >= k, the lower one column - row <= k; k may be any 64-bit number.
    const auto diagonal = static_cast<__int128>(i % rows) + k + (upper ? 0 : 1);
    const auto cut = static_cast<size_t>(diagonal < 0 ? 0 : diagonal > columns ? columns : diagonal);
    if (upper) {
      std::memset(row, 0, cut * element);
    } else {
      std::memset(row + cut * element, 0, (static_cast<size_t>(columns) - cut) * element);
    }
  }
}

std::vector<AxisRelation> axes_trilu(const AxesContext& c) {
  const size_t rank = c.input(0).size();
  std::vector<AxisRelation> relations;
  tie_same_axes(relations, c, 0, {rank - 2, rank - 1});
  for (size_t axis = rank - 2; axis < rank; ++axis) {
    relations.push_back(lock(in_axis(0, axis), "the diagonal depends on positions"));
    relations.push_back(lock(out_axis(0, axis), "the diagonal depends on positions"));
  }
  return relations;
}

// Attribute `dtype` is ONNX's number of the type; the input's type unless given.
DType eye_type(const Node& node, DType input) {
  if (!node.attrs.has("dtype")) return input;
  const int64_t code = node.attrs.require<int64_t>("dtype");
  const auto dtype = dtype_from_onnx(code);
  if (!dtype) {
    throw Error(ErrorCode::kInput, fmt::format("dtype {} is not an element type of ONNX", code),
                {.node = node.name, .op = node.op});
  }
  return *dtype;
}

void infer_eye_like(InferContext& c) {
  const Shape& input = c.shape(0);
  if (input.ranked() && input.rank() != 2) c.fail(fmt::format("shape {} is not a matrix", input.to_string()));
  c.set_output(0, eye_type(c.node(), c.dtype(0)), input.ranked() ? input : Shape::of_rank(2));
}

void run_eye_like(RunContext& c) {
  const int64_t k = attr_int(c.node(), "k");
  const int64_t rows = c.output(0).dims[0], columns = c.output(0).dims[1];
  std::memset(c.output(0).data, 0, c.output(0).bytes());
  visit_numeric(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    T* out = c.output(0).as<T>();
    for (int64_t row = 0; row < rows; ++row) {
      const __int128 column = static_cast<__int128>(row) + k;
      if (column >= 0 && column < columns) out[row * columns + static_cast<int64_t>(column)] = static_cast<T>(1.0f);
    }
  });
}

std::vector<AxisRelation> axes_eye_like(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.output(0).size(); ++axis) {
    relations.push_back(lock(in_axis(0, axis), "the diagonal depends on positions"));
    relations.push_back(lock(out_axis(0, axis), "the diagonal depends on positions"));
  }
  return relations;
}

std::vector<Sample> eye_like_samples() {
  return {
      {.name = "float", .inputs = {random_input({3, 4})}},
      {.name = "below",
       .inputs = {random_input({4, 2}, -9, 9, DType::kInt32)},
       .attrs = {{"k", int64_t{-1}}, {"dtype", int64_t{1}}}},
  };
}

std::vector<Sample> constant_of_shape_samples() {
  return {
      {.name = "zeros", .inputs = {fixed_ints({2, 3})}},
      {.name = "sevens", .inputs = {fixed_ints({3, 1, 2})}, .attrs = {{"value", Tensor::of<int32_t>({1}, {7})}}},
      {.name = "empty", .inputs = {fixed_ints({0, 2})}},
      {.name = "scalar", .inputs = {fixed_ints({})}, .attrs = {{"value", Tensor::of<float>({1}, {1.5f})}}},
  };
}

std::vector<Sample> range_samples() {
  return {
      {.name = "ints",
       .inputs = {fixed(Tensor::scalar<int64_t>(10)), fixed(Tensor::scalar<int64_t>(4)),
                  fixed(Tensor::scalar<int64_t>(-4))}},
      {.name = "floats",
       .inputs = {fixed(Tensor::scalar(0.5f)), fixed(Tensor::scalar(3.0f)), fixed(Tensor::scalar(0.75f))}},
      {.name = "nothing",
       .inputs = {fixed(Tensor::scalar<int32_t>(1)), fixed(Tensor::scalar<int32_t>(0)),
                  fixed(Tensor::scalar<int32_t>(2))}},
  };
}

std::vector<Sample> one_hot_samples() {
  return {
      {.name = "last",
       .inputs = {fixed(Tensor::of<int64_t>({2, 3}, {0, -1, 4, 2, 9, 3})), fixed(Tensor::scalar<int64_t>(5)),
                  fixed(Tensor::of<float>({2}, {-1, 2}))}},
      {.name = "axis1",
       .inputs = {fixed(Tensor::of<int64_t>({2, 2}, {1, 0, 2, 2})), fixed(Tensor::of<int64_t>({1}, {3})),
                  fixed(Tensor::of<float>({2}, {0, 1}))},
       .attrs = {{"axis", int64_t{1}}}},
  };
}

std::vector<Sample> trilu_samples() {
  return {
      {.name = "upper", .inputs = {random_input({2, 4, 3})}},
      {.name = "lower",
       .inputs = {random_input({4, 5}), fixed(Tensor::scalar<int64_t>(-1))},
       .attrs = {{"upper", int64_t{0}}}},
      {.name = "upper_k", .inputs = {random_input({3, 5}, -9, 9, DType::kInt64), fixed(Tensor::scalar<int64_t>(2))}},
  };
}

}  // namespace

void add_fill_op(OpTable& table) {
  table.add({.name = "constant_of_shape",
             .doc = "A tensor of a given shape filled with one value.",
             .inputs = {shape_port("shape")},
             .outputs = {{.name = "output"}},
             .attrs = {optional_attr("value", AttrType::kTensor)},
             .infer = infer_constant_of_shape,
             .timing = ShapeTiming::kFromValues,
             .run = run_constant_of_shape,
             .quant = QuantRule::keep_float(kNotComputed),
             .axes = axes_none,
             .spellings = {onnx("ConstantOfShape", 9)},
             .samples = constant_of_shape_samples});
  table.add({.name = "range",
             .doc = "Numbers from a start towards a limit in equal steps.",
             .inputs = {shape_port("start"), shape_port("limit"), shape_port("delta")},
             .outputs = {{.name = "output"}},
             .infer = infer_range,
             .timing = ShapeTiming::kFromValues,
             .run = run_range,
             .quant = QuantRule::keep_float(kNotComputed),
             .axes = axes_none,
             .spellings = {onnx("Range", 11)},
             .samples = range_samples});
  table.add({.name = "eye_like",
             .doc = "Ones on a diagonal, zeros elsewhere, in the shape of a matrix.",
             .inputs = {{.name = "input"}},
             .outputs = {{.name = "output"}},
             .attrs = {int_attr("k", 0), optional_attr("dtype", AttrType::kInt)},
             .infer = infer_eye_like,
             .run = run_eye_like,
             .quant = QuantRule::keep_float(kNotComputed),
             .axes = axes_eye_like,
             .spellings = {onnx("EyeLike", 9)},
             .samples = eye_like_samples});
  table.add({.name = "one_hot",
             .doc = "An axis that is on at a given index and off elsewhere.",
             .inputs = {{.name = "indices"}, shape_port("depth"), {.name = "values", .role = Role::kParameter}},
             .outputs = {{.name = "output"}},
             .attrs = {int_attr("axis", -1)},
             .infer = infer_one_hot,
             .timing = ShapeTiming::kFromValues,
             .run = run_one_hot,
             .quant = QuantRule::keep_float(kNotComputed),
             .axes = axes_one_hot,
             .spellings = {onnx("OneHot", 9)},
             .samples = one_hot_samples});
  table.add({.name = "trilu",
             .doc = "The upper or lower triangle of matrices, zero elsewhere.",
             .inputs = {{.name = "input"}, {.name = "k", .role = Role::kParameter, .optional = true}},
             .outputs = {{.name = "output"}},
             .attrs = {int_attr("upper", 1)},
             .infer = infer_trilu,
             .run = run_trilu,
             .in_place = true,
             .quant = QuantRule::keep_float("the zeros outside the triangle are not in the range of its input"),
             .axes = axes_trilu,
             .spellings = {onnx("Trilu", 14)},
             .samples = trilu_samples});
}

}  // namespace amct
