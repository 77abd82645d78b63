// The ten reductions: sum, mean, max, min, prod, L1, L2, log-sum, log-sum-exp and sum of squares over given axes.
//
// Coupling: kept axes are tied. A reduced axis is free where a channel of zeros adds nothing (sum, L1, L2, sum of
// squares); the others see that a channel is missing.
#include <fmt/core.h>

#include <algorithm>

#include "kernels/index/reduce.h"
#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

struct Member {
  const char* name;
  const char* type;
  const char* doc;
  ReduceOp op;
  int64_t axes_input_since;  // opset from which `axes` is an input
  const char* lock;          // why a reduced axis may not lose channels; null if it may
};

constexpr Member kMembers[] = {
    {"reduce_sum", "ReduceSum", "Sum over axes.", ReduceOp::kSum, 13, nullptr},
    {"reduce_mean", "ReduceMean", "Mean over axes.", ReduceOp::kMean, 18, "the mean counts its channels"},
    {"reduce_max", "ReduceMax", "Maximum over axes.", ReduceOp::kMax, 18, "a maximum is not neutral to zeros"},
    {"reduce_min", "ReduceMin", "Minimum over axes.", ReduceOp::kMin, 18, "a minimum is not neutral to zeros"},
    {"reduce_prod", "ReduceProd", "Product over axes.", ReduceOp::kProd, 18, "a product is not neutral to zeros"},
    {"reduce_l1", "ReduceL1", "Sum of magnitudes over axes.", ReduceOp::kL1, 18, nullptr},
    {"reduce_l2", "ReduceL2", "Euclidean norm over axes.", ReduceOp::kL2, 18, nullptr},
    {"reduce_log_sum", "ReduceLogSum", "Logarithm of the sum over axes.", ReduceOp::kLogSum, 18, nullptr},
    {"reduce_log_sum_exp", "ReduceLogSumExp", "Logarithm of the sum of exponentials over axes.", ReduceOp::kLogSumExp,
     18, "the exponential of zero is not neutral"},
    {"reduce_sum_square", "ReduceSumSquare", "Sum of squares over axes.", ReduceOp::kSumSquare, 18, nullptr},
};

const Member& member_of(const Node& node) {
  for (const Member& member : kMembers) {
    if (node.op == member.name) return member;
  }
  internal_error("a reduction that is none");
}

// Which axes are reduced. `axes` is null if the input is absent. With none each element is reduced by itself, so that
// squares, magnitudes and logarithms are still taken, as ONNX Runtime does.
std::vector<bool> reduced_axes(const Node& node, const Ints* axes, size_t rank) {
  if (axes == nullptr || axes->empty()) {
    return std::vector<bool>(rank, attr_int(node, "noop_with_empty_axes") == 0);
  }
  std::vector<bool> reduced(rank, false);
  for (const size_t axis : normalize_axes(*axes, rank)) reduced[axis] = true;
  return reduced;
}

void infer_reduce(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto axes = c.ints(1);
  const bool keep = attr_int(c.node(), "keepdims") != 0;
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape());
  if (c.has(1) && !axes) return c.set_output(0, c.dtype(0), keep ? Shape::of_rank(input.rank()) : Shape());
  const auto reduced = reduced_axes(c.node(), axes ? &*axes : nullptr, input.rank());
  std::vector<Dim> dims;
  for (size_t i = 0; i < input.rank(); ++i) {
    if (!reduced[i]) {
      dims.push_back(input[i]);
    } else if (keep) {
      dims.emplace_back(1);
    }
  }
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

// The order in which a channels-last run leaves the kept axes, and the order in which the output wants them, as a
// permutation; empty where they are the same.
std::vector<size_t> reorder_of(const RunContext& c, const std::vector<bool>& reduced) {
  const size_t rank = reduced.size();
  Dims logical, order(rank, -1);
  for (size_t axis = 0; axis < rank; ++axis) {
    if (reduced[axis]) continue;
    order[c.memory_axis(axis, rank)] = static_cast<int64_t>(logical.size());
    logical.push_back(static_cast<int64_t>(logical.size()));
  }
  std::erase(order, -1);
  const Dims wanted = memory_dims(logical, c.layout());
  if (order == wanted) return {};
  std::vector<size_t> perm;
  for (const int64_t axis : wanted) {
    perm.push_back(static_cast<size_t>(std::find(order.begin(), order.end(), axis) - order.begin()));
  }
  return perm;
}

void run_reduce(RunContext& c) {
  const TensorView& in = c.input(0);
  const size_t rank = in.dims.size();
  const Ints axes = c.has(1) ? ints_of(c.input(1)) : Ints();
  const auto reduced = reduced_axes(c.node(), c.has(1) ? &axes : nullptr, rank);
  std::vector<bool> in_memory(rank);
  for (size_t axis = 0; axis < rank; ++axis) in_memory[c.memory_axis(axis, rank)] = reduced[axis];
  const ReduceOp op = member_of(c.node()).op;
  const bool keep = attr_int(c.node(), "keepdims") != 0;
  const std::vector<size_t> perm = keep ? std::vector<size_t>() : reorder_of(c, reduced);
  if (perm.empty()) return reduce(op, in, in_memory, c.output(0).data);
  Dims kept;
  for (size_t axis = 0; axis < rank; ++axis) {
    if (!in_memory[axis]) kept.push_back(in.dims[axis]);
  }
  Tensor result = Tensor::allocate(in.dtype, kept);
  reduce(op, in, in_memory, result.mutable_data());
  transpose(element_bytes(in.dtype), kept, perm, result.view().data, c.output(0).data);
}

std::vector<AxisRelation> axes_reduce(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const Tensor* given = c.constant(1);
  if (c.has(1) && given == nullptr) {
    for (size_t i = 0; i < input.size(); ++i) relations.push_back(lock(in_axis(0, i), "the reduced axes are computed"));
    return relations;
  }
  const Ints axes = given != nullptr ? given->to_int64s() : Ints();
  const auto reduced = reduced_axes(c.node(), given != nullptr ? &axes : nullptr, input.size());
  const bool keep = attr_int(c.node(), "keepdims") != 0;
  const Member& member = member_of(c.node());
  size_t out = 0;
  for (size_t i = 0; i < input.size(); ++i) {
    const bool gone = reduced[i];
    if (!gone) {
      add_tie(relations, input[i], {in_axis(0, i), out_axis(0, out)});
    } else if (member.lock == nullptr && input[i] > 1) {
      relations.push_back(free_axis(input[i], {in_axis(0, i)}));
    } else if (input[i] > 1) {
      relations.push_back(lock(in_axis(0, i), member.lock));
    }
    if (!gone || keep) ++out;
  }
  return relations;
}

void import_axes(ImportContext& c) { import_attr_as_input(c, "axes", 1); }

void export_axes(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  const int64_t since = member_of(c.node()).axes_input_since;
  const auto axes = c.constant_ints(1, since);
  if ((!axes || axes->empty()) && attr_int(c.node(), "noop_with_empty_axes") != 0) {
    c.unsupported(fmt::format("a reduction over no axes needs opset {}", since));
  }
  attrs.erase("noop_with_empty_axes");
  if (axes && !axes->empty()) attrs.set("axes", *axes);
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

std::vector<Sample> reduce_samples() {
  const Attrs dropped{{"keepdims", int64_t{0}}};
  return {
      {.name = "spatial", .inputs = {random_input({2, 5, 3, 7}, 0.1, 1), fixed_ints({2, 3})}},
      {.name = "spatial_dropped",
       .inputs = {random_input({2, 5, 3, 7}, 0.1, 1), fixed_ints({-1, -2})},
       .attrs = dropped},
      {.name = "channels", .inputs = {random_input({2, 5, 3, 7}, 0.1, 1), fixed_ints({1})}},
      {.name = "outer_and_inner", .inputs = {random_input({4, 3, 5}, 0.1, 1), fixed_ints({0, -1})}, .attrs = dropped},
      {.name = "all", .inputs = {random_input({3, 5}, 0.1, 1)}},
      {.name = "double", .inputs = {random_input({3, 4, 5}, 0.1, 1, DType::kFloat64), fixed_ints({1})}},
      {.name = "int32", .inputs = {random_input({3, 5}, 1, 4, DType::kInt32), fixed_ints({1})}},
      {.name = "nothing", .inputs = {random_input({3, 5}, 0.1, 1)}, .attrs = {{"noop_with_empty_axes", int64_t{1}}}},
  };
}

}  // namespace

void add_reduce_op(OpTable& table) {
  for (const Member& member : kMembers) {
    table.add({.name = member.name,
               .doc = member.doc,
               .inputs = {{.name = "data"}, shape_port("axes", true)},
               .outputs = {{.name = "reduced"}},
               .attrs = {int_attr("keepdims", 1), int_attr("noop_with_empty_axes", 0)},
               .infer = infer_reduce,
               .timing = ShapeTiming::kFromValues,
               .run = run_reduce,
               .layout = LayoutRule::kFollow,
               .quant = QuantRule::keep_float("the result of a reduction has a range of its own"),
               .axes = axes_reduce,
               .spellings = {onnx(member.type, member.axes_input_since),
                             onnx(member.type, 1, member.axes_input_since - 1, import_axes, export_axes)},
               .samples = reduce_samples});
  }
}

}  // namespace amct
