// Reshape, Flatten, Squeeze, Unsqueeze: the same elements under other extents.
//
// Coupling: input and output are two mixed-radix spellings of one flat index. Where the place values of both form a
// chain of divisors, every digit of their common refinement lies inside one axis of either side, seen as (outer,
// channel, inner): [N,C,H,W] -> [N,C*H*W] ties C, H and W to blocks of the flat axis; [N,g*c,H,W] -> [N,g,c,H,W] ties g
// and c.
#include <fmt/core.h>

#include <algorithm>

#include "base/checked_math.h"
#include "ops/movement.h"

namespace amct {
namespace {

struct Digit {
  size_t axis;
  int64_t extent;
  int64_t place;  // flat index of the digit's 1
};

// The axes of extents > 1 with their place values, last axis first.
std::vector<Digit> digits_of(const Dims& dims) {
  std::vector<Digit> digits;
  int64_t place = 1;
  for (size_t axis = dims.size(); axis-- > 0;) {
    if (dims[axis] > 1) digits.push_back({axis, dims[axis], place});
    place *= dims[axis];
  }
  return digits;
}

AxisRef block_of(AxisRef ref, const Digit& digit, int64_t place, int64_t extent) {
  ref.axis = digit.axis;
  ref.inner = place / digit.place;
  ref.outer = digit.extent / (extent * ref.inner);
  return ref;
}

std::vector<AxisRelation> axes_reshape(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  if (element_count(c.input(0)) == 0) return relations;
  const std::vector<Digit> in = digits_of(c.input(0));
  const std::vector<Digit> out = digits_of(c.output(0));
  size_t i = 0, o = 0;
  int64_t place = 1;
  while (i < in.size() && o < out.size()) {
    const int64_t in_end = in[i].place * in[i].extent;
    const int64_t out_end = out[o].place * out[o].extent;
    const int64_t end = std::min(in_end, out_end);
    if (std::max(in_end, out_end) % end != 0) {
      // No axis holds the digit between the two: everything up to their next common boundary is mixed.
      const std::string reason = "the reshape mixes the elements of different channels";
      int64_t in_boundary = in_end, out_boundary = out_end;
      while (true) {
        if (in_boundary == out_boundary) break;
        if (in_boundary < out_boundary) {
          relations.push_back(lock(in_axis(0, in[i++].axis), reason));
          in_boundary = in[i].place * in[i].extent;
        } else {
          relations.push_back(lock(out_axis(0, out[o++].axis), reason));
          out_boundary = out[o].place * out[o].extent;
        }
      }
      relations.push_back(lock(in_axis(0, in[i++].axis), reason));
      relations.push_back(lock(out_axis(0, out[o++].axis), reason));
      place = in_boundary;
      continue;
    }
    const int64_t extent = end / place;
    add_tie(relations, extent,
            {block_of(in_axis(0, 0), in[i], place, extent), block_of(out_axis(0, 0), out[o], place, extent)});
    place = end;
    if (in_end == end) ++i;
    if (out_end == end) ++o;
  }
  return relations;
}

// The extent that -1 stands for: what the input has beyond the other dims of the target.
Dim missing_dim(InferContext& c, const Shape& input, const Shape& target, size_t missing) {
  if (!input.ranked()) return {};
  std::optional<int64_t> have = 1, want = 1;
  std::vector<Dim> symbols;
  for (const Dim& dim : input.dims()) {
    if (dim.is_fixed()) {
      have = have ? checked_mul(*have, dim.extent()) : std::nullopt;
    } else {
      symbols.push_back(dim);
    }
  }
  for (size_t i = 0; i < target.rank(); ++i) {
    if (i == missing) continue;
    if (target[i].is_fixed()) {
      want = want ? checked_mul(*want, target[i].extent()) : std::nullopt;
      continue;
    }
    const auto same = std::find(symbols.begin(), symbols.end(), target[i]);
    if (same == symbols.end()) return {};
    symbols.erase(same);
  }
  if (!have || !want) c.fail("the target shape is too large");
  if (symbols.size() == 1 && have == want) return symbols[0];
  if (!symbols.empty()) return {};
  if (*want == 0) c.fail("-1 in the target shape is ambiguous beside a 0");
  if (*have % *want != 0) {
    c.fail(fmt::format("{} cannot be reshaped to {} with -1 at position {}", input.to_string(), target.to_string(),
                       missing));
  }
  return *have / *want;
}

void infer_reshape(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto target = c.ints(1);
  if (!target) {
    const Shape& length = c.shape(1);
    const bool rank_known = length.ranked() && length.rank() == 1 && length[0].is_fixed() && length[0].extent() < 64;
    c.set_output(0, c.dtype(0), rank_known ? Shape::of_rank(static_cast<size_t>(length[0].extent())) : Shape());
    return;
  }
  const bool allow_zero = attr_int(c.node(), "allowzero") != 0;
  Shape shape = Shape::of_rank(target->size());
  std::optional<size_t> missing;
  for (size_t i = 0; i < target->size(); ++i) {
    const int64_t extent = (*target)[i];
    if (extent < -1) c.fail(fmt::format("the target shape {} has an extent below -1", to_string(*target)));
    if (extent == -1) {
      if (missing) c.fail(fmt::format("the target shape {} has more than one -1", to_string(*target)));
      missing = i;
    } else if (extent > 0 || allow_zero) {
      shape[i] = extent;
    } else if (input.ranked()) {
      if (i >= input.rank()) {
        c.fail(fmt::format("the target shape {} copies dim {} of an input of shape {}", to_string(*target), i,
                           input.to_string()));
      }
      shape[i] = input[i];
    }
  }
  if (missing) shape[*missing] = missing_dim(c, input, shape, *missing);
  if (input.is_fixed() && shape.is_fixed() && input.element_count() != shape.element_count()) {
    c.fail(fmt::format("shape {} cannot be reshaped to {}", input.to_string(), shape.to_string()));
  }
  c.set_output(0, c.dtype(0), shape);
}

// axis = rank merges everything into the first dim; a negative axis counts from the last one.
size_t flatten_axis(const InferContext& c) {
  const int64_t axis = attr_int(c.node(), "axis");
  const size_t rank = c.shape(0).rank();
  return axis == static_cast<int64_t>(rank) ? rank : static_cast<size_t>(normalize_axis(axis, rank));
}

void infer_flatten(InferContext& c) {
  const Shape& input = c.shape(0);
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape::of_rank(2));
  const auto axis = flatten_axis(c);
  c.set_output(0, c.dtype(0), Shape({product_of(input.dims(), 0, axis), product_of(input.dims(), axis, input.rank())}));
}

void infer_squeeze(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto axes = c.ints(1);
  if (!input.ranked() || (c.has(1) && !axes)) return c.set_output(0, c.dtype(0), Shape());
  std::vector<bool> drop(input.rank(), false);
  if (axes) {
    for (const size_t axis : normalize_axes(*axes, input.rank())) {
      if (input[axis].is_fixed() && input[axis].extent() != 1) {
        c.fail(fmt::format("axis {} of shape {} cannot be squeezed: its extent is not 1", axis, input.to_string()));
      }
      drop[axis] = true;
    }
  } else {
    for (size_t axis = 0; axis < input.rank(); ++axis) {
      if (!input[axis].is_fixed()) return c.set_output(0, c.dtype(0), Shape());
      drop[axis] = input[axis].extent() == 1;
    }
  }
  std::vector<Dim> dims;
  for (size_t axis = 0; axis < input.rank(); ++axis) {
    if (!drop[axis]) dims.push_back(input[axis]);
  }
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

void infer_unsqueeze(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto axes = c.ints(1);
  if (!input.ranked() || !axes) return c.set_output(0, c.dtype(0), Shape());
  const size_t rank = input.rank() + axes->size();
  std::vector<bool> fresh(rank, false);
  for (const size_t axis : normalize_axes(*axes, rank)) fresh[axis] = true;
  std::vector<Dim> dims;
  size_t next = 0;
  for (size_t axis = 0; axis < rank; ++axis) dims.push_back(fresh[axis] ? Dim(1) : input[next++]);
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

std::vector<Sample> reshape_samples() {
  return {
      {.name = "zero_and_rest", .inputs = {random_input({2, 3, 4, 5}), fixed_ints({0, -1, 5})}},
      {.name = "flatten", .inputs = {random_input({2, 3, 4, 5}), fixed_ints({2, -1})}},
      {.name = "split_channels", .inputs = {random_input({2, 6, 3, 5}), fixed_ints({0, 2, 3, 3, 5})}},
      {.name = "mixed", .inputs = {random_input({4, 9}, -9, 9, DType::kInt32), fixed_ints({6, 6})}},
      {.name = "to_scalar", .inputs = {random_input({1, 1}, 0, 1, DType::kFloat64), fixed_ints({})}},
      {.name = "allowzero", .inputs = {random_input({0, 3}), fixed_ints({3, 0})}, .attrs = {{"allowzero", int64_t{1}}}},
  };
}

std::vector<Sample> flatten_samples() {
  return {
      {.name = "default", .inputs = {random_input({2, 3, 4, 5})}},
      {.name = "axis0", .inputs = {random_input({3, 5}, -9, 9, DType::kInt32)}, .attrs = {{"axis", int64_t{0}}}},
      {.name = "negative_axis", .inputs = {random_input({2, 3, 5})}, .attrs = {{"axis", int64_t{-1}}}},
      {.name = "end_axis", .inputs = {random_input({2, 3, 5})}, .attrs = {{"axis", int64_t{3}}}},
  };
}

std::vector<Sample> squeeze_samples() {
  return {
      {.name = "axes", .inputs = {random_input({3, 1, 4, 1, 1}), fixed_ints({1, -1})}},
      {.name = "all", .inputs = {random_input({1, 3, 1, 5}, -9, 9, DType::kInt8)}},
      {.name = "to_scalar", .inputs = {random_input({1}), fixed_ints({0})}},
  };
}

std::vector<Sample> unsqueeze_samples() {
  return {
      {.name = "ends", .inputs = {random_input({3, 5}), fixed_ints({0, -1})}},
      {.name = "unsorted", .inputs = {random_input({3, 5}, 0, 9, DType::kUInt8), fixed_ints({3, 1})}},
      {.name = "scalar", .inputs = {random_input({}), fixed_ints({0})}},
  };
}

// Squeeze and Unsqueeze took `axes` as an attribute before opset 13.
void import_axes(ImportContext& c) { import_attr_as_input(c, "axes", 1); }
void export_axes(ExportContext& c) { export_input_as_attr(c, "axes", 1, 13); }

OpRow view_row(std::string name, std::string doc, InferFn infer, SamplesFn samples) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{.name = "data"}},
          .outputs = {{.name = "reshaped"}},
          .infer = infer,
          .run = copy_whole,
          .in_place = true,
          .quant = QuantRule::pass_through(),
          .axes = axes_reshape,
          .samples = samples};
}

}  // namespace

void add_reshape_op(OpTable& table) {
  OpRow reshape = view_row("reshape", "The same elements under a given shape.", infer_reshape, reshape_samples);
  reshape.inputs.push_back(shape_port("shape"));
  reshape.attrs = {int_attr("allowzero", 0)};
  reshape.timing = ShapeTiming::kFromValues;
  reshape.spellings = {onnx("Reshape", 14), onnx("Reshape", 5, 13, import_default,
                                                 [](ExportContext& c) { export_without(c, "allowzero", 14); })};
  table.add(std::move(reshape));

  OpRow flatten =
      view_row("flatten", "The axes before and after a position merged into two.", infer_flatten, flatten_samples);
  flatten.attrs = {int_attr("axis", 1)};
  flatten.spellings = {onnx("Flatten")};
  table.add(std::move(flatten));

  OpRow squeeze = view_row("squeeze", "Axes of extent 1 removed.", infer_squeeze, squeeze_samples);
  squeeze.inputs.push_back(shape_port("axes", true));
  squeeze.timing = ShapeTiming::kFromValues;
  squeeze.spellings = {onnx("Squeeze", 13), onnx("Squeeze", 1, 12, import_axes, export_axes)};
  table.add(std::move(squeeze));

  OpRow unsqueeze = view_row("unsqueeze", "Axes of extent 1 inserted.", infer_unsqueeze, unsqueeze_samples);
  unsqueeze.inputs.push_back(shape_port("axes"));
  unsqueeze.timing = ShapeTiming::kFromValues;
  unsqueeze.spellings = {onnx("Unsqueeze", 13), onnx("Unsqueeze", 1, 12, import_axes, export_axes)};
  table.add(std::move(unsqueeze));
}

}  // namespace amct
