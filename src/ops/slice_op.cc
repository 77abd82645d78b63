// Slice: start : end : step along some axes, as in numpy: negative positions count from the end, positions beyond the
// ends are clamped, a negative step walks backwards.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

struct Span {
  int64_t start = 0;
  int64_t step = 1;
  int64_t length = 0;
};

// starts, ends, axes, steps of a node, per axis that is sliced.
struct Cuts {
  Ints starts, ends;
  std::vector<size_t> axes;
  Ints steps;
};

Cuts cuts_of(Ints starts, Ints ends, const Ints* axes, const Ints* steps, size_t rank, const Node& node) {
  const Where where{.node = node.name, .op = node.op};
  Ints all(starts.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  Cuts cuts{std::move(starts), std::move(ends), normalize_axes(axes != nullptr ? *axes : all, rank),
            steps != nullptr ? *steps : Ints(all.size(), 1)};
  if (cuts.ends.size() != all.size() || cuts.axes.size() != all.size() || cuts.steps.size() != all.size()) {
    throw Error(ErrorCode::kInput,
                fmt::format("starts, ends, axes and steps have {}, {}, {} and {} elements", all.size(),
                            cuts.ends.size(), cuts.axes.size(), cuts.steps.size()),
                where);
  }
  for (const int64_t step : cuts.steps) {
    if (step == 0) throw Error(ErrorCode::kInput, "a step of 0 leads nowhere", where);
  }
  return cuts;
}

Span span_of(int64_t extent, int64_t start, int64_t end, int64_t step) {
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? extent : extent - 1;
  const auto clamp = [&](int64_t position, int64_t least) {
    if (position < 0) position = position < -extent ? -1 : position + extent;
    return std::clamp(position, least, std::max(high, least));
  };
  // A start before the beginning is position 0 whatever the step; an end there is "before 0" for a backward walk.
  const Span span{clamp(start, std::min<int64_t>(0, high)), step, 0};
  const int64_t stop = clamp(end, low);
  const int64_t distance = step > 0 ? stop - span.start : span.start - stop;
  if (distance <= 0) return {0, step, 0};
  // The magnitude of the smallest integer has no positive counterpart.
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  return {span.start, step, static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride + 1)};
}

// What is left of a dim that is not known: itself if nothing is cut away.
Dim cut_dim(const Dim& dim, int64_t start, int64_t end, int64_t step) {
  if (dim.is_fixed()) return span_of(dim.extent(), start, end, step).length;
  return start == 0 && step == 1 && end >= std::numeric_limits<int32_t>::max() ? dim : Dim();
}

void infer_slice(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto starts = c.ints(1);
  const auto ends = c.ints(2);
  const auto axes = c.ints(3);
  const auto steps = c.ints(4);
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape());
  Shape shape = input;
  if (starts && ends && (axes || !c.has(3)) && (steps || !c.has(4))) {
    const Cuts cuts =
        cuts_of(*starts, *ends, axes ? &*axes : nullptr, steps ? &*steps : nullptr, input.rank(), c.node());
    for (size_t i = 0; i < cuts.axes.size(); ++i) {
      shape[cuts.axes[i]] = cut_dim(input[cuts.axes[i]], cuts.starts[i], cuts.ends[i], cuts.steps[i]);
    }
  } else if (axes) {
    for (const size_t axis : normalize_axes(*axes, input.rank())) shape[axis] = Dim();
  } else {
    shape = Shape::of_rank(input.rank());
  }
  c.set_output(0, c.dtype(0), shape);
}

void run_slice(RunContext& c) {
  const TensorView& in = c.input(0);
  const size_t rank = in.dims.size();
  const Ints axes = c.has(3) ? ints_of(c.input(3)) : Ints();
  const Ints steps = c.has(4) ? ints_of(c.input(4)) : Ints();
  const Cuts cuts = cuts_of(ints_of(c.input(1)), ints_of(c.input(2)), c.has(3) ? &axes : nullptr,
                            c.has(4) ? &steps : nullptr, rank, c.node());
  Dims strides = row_major_strides(in.dims);
  int64_t first = 0;
  for (size_t i = 0; i < cuts.axes.size(); ++i) {
    const size_t axis = c.memory_axis(cuts.axes[i], rank);
    const Span span = span_of(in.dims[axis], cuts.starts[i], cuts.ends[i], cuts.steps[i]);
    first += span.start * strides[axis];
    if (span.length > 1) strides[axis] *= span.step;
  }
  const Dims& out = c.output(0).dims;
  if (element_count(out) == 0) return;
  const size_t element = element_bytes(in.dtype);
  copy_strided(element, out, static_cast<const std::byte*>(in.data) + static_cast<size_t>(first) * element, strides,
               c.output(0).data, row_major_strides(out));
}

std::vector<AxisRelation> axes_slice(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const Tensor* values[5] = {};
  bool computed = false;
  for (size_t port = 1; port < 5 && port < c.input_count(); ++port) {
    values[port] = c.constant(port);
    computed = computed || (c.has(port) && values[port] == nullptr);
  }
  if (computed) {
    for (size_t axis = 0; axis < input.size(); ++axis) {
      relations.push_back(lock(in_axis(0, axis), "the bounds of the slice are computed"));
    }
    return relations;
  }
  const Ints axes = values[3] != nullptr ? values[3]->to_int64s() : Ints();
  const Ints steps = values[4] != nullptr ? values[4]->to_int64s() : Ints();
  const Cuts cuts = cuts_of(values[1]->to_int64s(), values[2]->to_int64s(), values[3] ? &axes : nullptr,
                            values[4] ? &steps : nullptr, input.size(), c.node());
  tie_same_axes(relations, c, 0, cuts.axes);
  for (size_t i = 0; i < cuts.axes.size(); ++i) {
    const size_t axis = cuts.axes[i];
    const Span span = span_of(input[axis], cuts.starts[i], cuts.ends[i], cuts.steps[i]);
    if (span.step != 1) {
      relations.push_back(lock(in_axis(0, axis), "a slice with a step takes single channels out of the axis"));
      relations.push_back(lock(out_axis(0, axis), "a slice with a step takes single channels out of the axis"));
      continue;
    }
    // What is cut away before and behind the span matters to nobody here.
    AxisRef before = in_axis(0, axis), kept = before, behind = before;
    kept.offset = span.start;
    behind.offset = span.start + span.length;
    if (span.start > 0) relations.push_back(tie(span.start, {before}));
    if (span.length > 0) relations.push_back(tie(span.length, {kept, out_axis(0, axis)}));
    if (behind.offset < input[axis]) relations.push_back(tie(input[axis] - behind.offset, {behind}));
  }
  return relations;
}

// Before opset 10 everything was an attribute, and there were no steps.
void import_slice_1(ImportContext& c) {
  const Ints starts = c.attrs().require<Ints>("starts");
  const Ints ends = c.attrs().require<Ints>("ends");
  std::vector<ValueId> inputs{c.input(0), c.ints_constant("starts", starts), c.ints_constant("ends", ends)};
  if (c.attrs().has("axes")) inputs.push_back(c.ints_constant("axes", c.attrs().require<Ints>("axes")));
  c.add(std::move(inputs), {});
}

void export_slice_1(ExportContext& c) {
  Attrs attrs;
  attrs.set("starts", *c.constant_ints(1, 10));
  attrs.set("ends", *c.constant_ints(2, 10));
  if (const auto axes = c.constant_ints(3, 10)) attrs.set("axes", *axes);
  for (const int64_t step : c.constant_ints(4, 10).value_or(Ints())) {
    if (step != 1) c.unsupported(fmt::format("a step of {} needs opset 10", step));
  }
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

std::vector<Sample> slice_samples() {
  return {
      {.name = "axes",
       .inputs = {random_input({2, 7, 5, 3}), fixed_ints({1, 0}), fixed_ints({5, 4}), fixed_ints({1, 2})}},
      {.name = "negative_step",
       .inputs = {random_input({4, 9}, -9, 9, DType::kInt32), fixed_ints({-1, 7}), fixed_ints({-100, 1}),
                  fixed_ints({0, -1}), fixed_ints({-1, -3})}},
      {.name = "beyond_ends",
       .inputs = {random_input({3, 5, 4}), fixed_ints({-100, 2}), fixed_ints({100, 1000}), fixed_ints({0, 1}),
                  fixed_ints({2, 1})}},
      {.name = "no_axes",
       .inputs = {random_input({5, 3}, 0, 9, DType::kUInt8), fixed_ints({1, 1}), fixed_ints({-1, 3})}},
      {.name = "nothing_left", .inputs = {random_input({5, 3}), fixed_ints({3}), fixed_ints({2}), fixed_ints({0})}},
      {.name = "channel", .inputs = {random_input({2, 6, 3, 5}), fixed_ints({2}), fixed_ints({5}), fixed_ints({1})}},
  };
}

}  // namespace

void add_slice_op(OpTable& table) {
  table.add({.name = "slice",
             .doc = "Takes start : end : step along some axes.",
             .inputs = {{.name = "data"},
                        shape_port("starts"),
                        shape_port("ends"),
                        shape_port("axes", true),
                        shape_port("steps", true)},
             .outputs = {{.name = "output"}},
             .infer = infer_slice,
             .timing = ShapeTiming::kFromValues,
             .run = run_slice,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::pass_through(),
             .axes = axes_slice,
             .spellings = {onnx("Slice", 10), onnx("Slice", 1, 9, import_slice_1, export_slice_1)},
             .samples = slice_samples});
}

}  // namespace amct
