// NonZero, Compress, Unique: results whose extents only the data decide.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ir/dispatch.h"
#include "kernels/index/gather.h"
#include "kernels/index/strided.h"
#include "ops/axis_view.h"
#include "ops/input_checks.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr const char* kFromData = "which entries stay depends on the data";

std::optional<size_t> axis_of(const Node& node, size_t rank) {
  if (!node.attrs.has("axis")) return std::nullopt;
  return static_cast<size_t>(normalize_axis(node.attrs.require<int64_t>("axis"), rank));
}

// An entry of `axis` for each of `entries`, or of all elements in order if there is no axis.
void take(RunContext& c, size_t port, std::optional<size_t> axis, const std::vector<int64_t>& entries) {
  const TensorView& in = c.input(0);
  Dims dims = axis ? in.dims : Dims{in.size()};
  const AxisView view = axis_view(dims, axis.value_or(0));
  dims[axis.value_or(0)] = static_cast<int64_t>(entries.size());
  const MutableView out = c.allocate_output(port, in.dtype, dims);
  gather_blocks(element_bytes(in.dtype), view.outer, view.extent, view.inner, entries, in.data, out.data);
}

void write_ints(RunContext& c, size_t port, const std::vector<int64_t>& values) {
  if (port >= c.output_count() || !c.node().output(port).valid()) return;
  const MutableView out = c.allocate_output(port, DType::kInt64, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), out.as<int64_t>());
}

std::vector<AxisRelation> axes_locked(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.input(0).size(); ++axis) relations.push_back(lock(in_axis(0, axis), kFromData));
  return relations;
}

void infer_non_zero(InferContext& c) {
  const Shape& input = c.shape(0);
  c.set_output(0, DType::kInt64, Shape({input.ranked() ? Dim(static_cast<int64_t>(input.rank())) : Dim(), Dim()}));
}

void run_non_zero(RunContext& c) {
  const TensorView& in = c.input(0);
  std::vector<int64_t> found;
  visit_numeric(in.dtype, [&]<typename T>(Tag<T>) {
    const int64_t count = in.size();
    for (int64_t i = 0; i < count; ++i) {
      if (static_cast<Compute<T>>(in.as<T>()[i]) != Compute<T>{}) found.push_back(i);
    }
  });
  const auto count = static_cast<int64_t>(found.size());
  const MutableView out = c.allocate_output(0, DType::kInt64, {static_cast<int64_t>(in.dims.size()), count});
  const Dims strides = row_major_strides(in.dims);
  for (size_t axis = 0; axis < in.dims.size(); ++axis) {
    int64_t* row = out.as<int64_t>() + static_cast<int64_t>(axis) * count;
    for (const int64_t flat : found) *row++ = flat / strides[axis] % in.dims[axis];
  }
}

void infer_compress(InferContext& c) {
  expect_type(c, 1, is_bool_type);
  const Shape& input = c.shape(0);
  if (!c.node().attrs.has("axis")) return c.set_output(0, c.dtype(0), Shape::of_rank(1));
  Shape shape = input;
  if (input.ranked()) shape[*axis_of(c.node(), input.rank())] = Dim();
  c.set_output(0, c.dtype(0), shape);
}

void run_compress(RunContext& c) {
  const auto axis = axis_of(c.node(), c.input(0).dims.size());
  const int64_t extent = axis ? c.input(0).dims[*axis] : c.input(0).size();
  const TensorView& condition = c.input(1);
  if (condition.dims.size() != 1 || condition.size() > extent) {
    throw Error(ErrorCode::kInput,
                fmt::format("a condition of shape {} does not fit {} entries", to_string(condition.dims), extent),
                {.node = c.node().name, .op = c.node().op});
  }
  std::vector<int64_t> entries;
  for (int64_t i = 0; i < condition.size(); ++i) {
    if (condition.as<bool>()[i]) entries.push_back(i);
  }
  take(c, 0, axis, entries);
}

std::vector<AxisRelation> axes_compress(const AxesContext& c) {
  const auto axis = axis_of(c.node(), c.input(0).size());
  if (!axis) return axes_locked(c);
  std::vector<AxisRelation> relations;
  tie_same_axes(relations, c, 0, {*axis});
  relations.push_back(lock(in_axis(0, *axis), kFromData));
  return relations;
}

void infer_unique(InferContext& c) {
  Shape shape = Shape::of_rank(1);
  if (c.node().attrs.has("axis")) {
    shape = c.shape(0);
    if (shape.ranked()) shape[*axis_of(c.node(), shape.rank())] = Dim();
  }
  c.set_output(0, c.dtype(0), shape);
  for (size_t port = 1; port < 4; ++port) c.set_output(port, DType::kInt64, Shape::of_rank(1));
}

void run_unique(RunContext& c) {
  const TensorView& in = c.input(0);
  const auto axis = axis_of(c.node(), in.dims.size());
  const AxisView view = axis_view(axis ? in.dims : Dims{in.size()}, axis.value_or(0));
  std::vector<int64_t> order(static_cast<size_t>(view.extent));  // entries by value, equals by position
  std::iota(order.begin(), order.end(), 0);
  std::vector<int64_t> group(order.size(), 0);  // of each entry, in order of value
  visit_numeric(in.dtype, [&]<typename T>(Tag<T>) {
    const T* data = in.as<T>();
    const auto compare = [&](int64_t a, int64_t b) {
      for (int64_t o = 0; o < view.outer; ++o) {
        for (int64_t i = 0; i < view.inner; ++i) {
          const auto x = static_cast<Compute<T>>(data[(o * view.extent + a) * view.inner + i]);
          const auto y = static_cast<Compute<T>>(data[(o * view.extent + b) * view.inner + i]);
          if (x < y || y < x) return x < y ? -1 : 1;
        }
      }
      return 0;
    };
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return compare(a, b) < 0; });
    int64_t current = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0 && compare(order[i - 1], order[i]) != 0) ++current;
      group[static_cast<size_t>(order[i])] = current;
    }
  });
  const size_t groups = order.empty() ? 0 : static_cast<size_t>(group[static_cast<size_t>(order.back())]) + 1;
  std::vector<int64_t> first(groups, -1), counts(groups, 0);
  for (size_t i = 0; i < group.size(); ++i) {
    const auto g = static_cast<size_t>(group[i]);
    if (first[g] < 0) first[g] = static_cast<int64_t>(i);
    ++counts[g];
  }
  std::vector<size_t> shown(groups);  // groups in the order of the output
  std::iota(shown.begin(), shown.end(), size_t{0});
  if (attr_int(c.node(), "sorted") == 0) {
    std::sort(shown.begin(), shown.end(), [&](size_t a, size_t b) { return first[a] < first[b]; });
  }
  std::vector<int64_t> entries, sizes, rank(groups), inverse;
  for (size_t i = 0; i < groups; ++i) {
    entries.push_back(first[shown[i]]);
    sizes.push_back(counts[shown[i]]);
    rank[shown[i]] = static_cast<int64_t>(i);
  }
  for (const int64_t g : group) inverse.push_back(rank[static_cast<size_t>(g)]);
  take(c, 0, axis, entries);
  write_ints(c, 1, entries);
  write_ints(c, 2, inverse);
  write_ints(c, 3, sizes);
}

std::vector<Sample> non_zero_samples() {
  return {
      {.name = "matrix", .inputs = {fixed(Tensor::of<float>({2, 3}, {1, 0, 0, 2, 0, -3}))}},
      {.name = "ints", .inputs = {random_input({3, 2, 4}, -1, 1, DType::kInt32)}},
  };
}

std::vector<Sample> compress_samples() {
  const auto keep = [](const std::vector<uint8_t>& bits) {
    return fixed(Tensor::of<uint8_t>({static_cast<int64_t>(bits.size())}, bits).cast(DType::kBool));
  };
  return {
      {.name = "rows", .inputs = {random_input({3, 5}), keep({0, 1, 1})}, .attrs = {{"axis", int64_t{0}}}},
      {.name = "short", .inputs = {random_input({3, 5}), keep({0, 1})}, .attrs = {{"axis", int64_t{-1}}}},
      {.name = "flat", .inputs = {random_input({2, 3}, -9, 9, DType::kInt32), keep({1, 0, 0, 1, 1})}},
  };
}

std::vector<Sample> unique_samples() {
  const Tensor rows = Tensor::of<float>({3, 2}, {1, 0, 0, 1, 1, 0});
  return {
      {.name = "sorted", .inputs = {random_input({3, 4}, -3, 3, DType::kInt64)}, .outputs = 4},
      {.name = "in_order",
       .inputs = {fixed(Tensor::of<float>({6}, {2, 1, 1, 3, 4, 3}))},
       .attrs = {{"sorted", int64_t{0}}},
       .outputs = 4},
      {.name = "rows", .inputs = {fixed(rows)}, .attrs = {{"axis", int64_t{0}}}, .outputs = 4},
  };
}

}  // namespace

void add_select_op(OpTable& table) {
  table.add({.name = "non_zero",
             .doc = "The coordinates of all elements that are not zero.",
             .inputs = {{.name = "x"}},
             .outputs = {{.name = "coordinates"}},
             .infer = infer_non_zero,
             .timing = ShapeTiming::kFromData,
             .run = run_non_zero,
             .quant = QuantRule::keep_float("its result is positions, which hold no values of its input"),
             .axes = axes_locked,
             .spellings = {onnx("NonZero", 9)},
             .samples = non_zero_samples});
  table.add({.name = "compress",
             .doc = "The entries of an axis where a condition holds.",
             .inputs = {{.name = "input"}, {.name = "condition", .role = Role::kParameter}},
             .outputs = {{.name = "output"}},
             .attrs = {optional_attr("axis", AttrType::kInt)},
             .infer = infer_compress,
             .timing = ShapeTiming::kFromData,
             .run = run_compress,
             .quant = QuantRule::pass_through(),
             .axes = axes_compress,
             .spellings = {onnx("Compress", 9)},
             .samples = compress_samples});
  table.add({.name = "unique",
             .doc = "The different elements or entries of an axis, with positions and counts.",
             .inputs = {{.name = "x"}},
             .outputs = {{.name = "y"},
                         {.name = "indices", .optional = true},
                         {.name = "inverse_indices", .optional = true},
                         {.name = "counts", .optional = true}},
             .attrs = {optional_attr("axis", AttrType::kInt), int_attr("sorted", 1)},
             .infer = infer_unique,
             .timing = ShapeTiming::kFromData,
             .run = run_unique,
             .quant = QuantRule::pass_through(),
             .axes = axes_locked,
             .spellings = {onnx("Unique", 11)},
             .samples = unique_samples});
}

}  // namespace amct
