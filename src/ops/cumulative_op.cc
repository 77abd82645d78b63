// CumSum and ReverseSequence: running sums, and prefixes turned around.
#include <fmt/core.h>

#include <algorithm>

#include "ir/dispatch.h"
#include "kernels/index/strided.h"
#include "ops/axis_view.h"
#include "ops/movement.h"

namespace amct {
namespace {

size_t cum_sum_axis(const Ints& axis, size_t rank, const Node& node) {
  if (axis.size() != 1) {
    throw Error(ErrorCode::kInput, fmt::format("axis has {} elements, not one", axis.size()),
                {.node = node.name, .op = node.op});
  }
  return static_cast<size_t>(normalize_axis(axis[0], rank));
}

void infer_cum_sum(InferContext& c) {
  const auto axis = c.ints(1);
  if (axis && c.shape(0).ranked()) cum_sum_axis(*axis, c.shape(0).rank(), c.node());
  infer_same_as_first(c);
}

void run_cum_sum(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const AxisView view = axis_view(dims, cum_sum_axis(ints_of(c.input(1)), dims.size(), c.node()));
  const bool exclusive = attr_int(c.node(), "exclusive") != 0;
  const bool reverse = attr_int(c.node(), "reverse") != 0;
  visit_numeric(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      // Integers wrap as unsigned ones; the 16-bit floats sum in float.
      using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, Compute<T>>;
      std::vector<Sum> sums(static_cast<size_t>(view.inner));
      for (int64_t o = 0; o < view.outer; ++o) {
        std::fill(sums.begin(), sums.end(), Sum{});
        for (int64_t step = 0; step < view.extent; ++step) {
          const int64_t at = reverse ? view.extent - 1 - step : step;
          const T* in = c.input(0).as<T>() + (o * view.extent + at) * view.inner;
          T* out = c.output(0).as<T>() + (o * view.extent + at) * view.inner;
          for (size_t i = 0; i < sums.size(); ++i) {
            const Sum before = sums[i];
            sums[i] += static_cast<Sum>(static_cast<Compute<T>>(in[i]));
            out[i] = static_cast<T>(static_cast<Compute<T>>(exclusive ? before : sums[i]));
          }
        }
      }
    }
  });
}

std::vector<AxisRelation> axes_cum_sum(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& dims = c.input(0);
  const Tensor* axis = c.constant(1);
  for (size_t i = 0; i < dims.size(); ++i) {
    if (axis != nullptr && i != cum_sum_axis(axis->to_int64s(), dims.size(), c.node())) {
      add_tie(relations, dims[i], {in_axis(0, i), out_axis(0, i)});
    } else {
      relations.push_back(lock(in_axis(0, i), "the running sum goes over its entries"));
      relations.push_back(lock(out_axis(0, i), "the running sum goes over its entries"));
    }
  }
  return relations;
}

// The two leading axes of ReverseSequence, one the batch, the other the time.
size_t time_axis(const Node& node) {
  const int64_t batch = attr_int(node, "batch_axis");
  const int64_t time = attr_int(node, "time_axis");
  if (batch < 0 || batch > 1 || time != 1 - batch) {
    throw Error(ErrorCode::kInput, fmt::format("batch_axis {} and time_axis {} are not 0 and 1", batch, time),
                {.node = node.name, .op = node.op});
  }
  return static_cast<size_t>(time);
}

void infer_reverse_sequence(InferContext& c) {
  const Shape& input = c.shape(0);
  const size_t batch = 1 - time_axis(c.node());
  if (input.ranked()) {
    if (input.rank() < 2) c.fail(fmt::format("shape {} has no batch and time axes", input.to_string()));
    const auto lengths = c.shape(1).fixed();
    if (lengths && input[batch].is_fixed() && *lengths != Dims{input[batch].extent()}) {
      c.fail(fmt::format("sequence_lens of shape {} do not fit a batch of {}", to_string(*lengths),
                         input[batch].extent()));
    }
  }
  infer_same_as_first(c);
}

void run_reverse_sequence(RunContext& c) {
  const TensorView& in = c.input(0);
  const size_t time = time_axis(c.node());
  const Ints lengths = ints_of(c.input(1));
  const Dims strides = row_major_strides(in.dims);
  const size_t element = element_bytes(in.dtype);
  const auto* source = static_cast<const std::byte*>(in.data);
  auto* target = static_cast<std::byte*>(c.output(0).data);
  const int64_t inner = element_count(in.dims) == 0 ? 0 : strides[1];
  for (size_t sample = 0; sample < lengths.size(); ++sample) {
    const int64_t length = lengths[sample];
    if (length < 0 || length > in.dims[time]) {
      throw Error(ErrorCode::kInput, fmt::format("a sequence of {} does not fit {} steps", length, in.dims[time]));
    }
    const auto at = [&](int64_t step) {
      return static_cast<size_t>(static_cast<int64_t>(sample) * strides[1 - time] + step * strides[time]) * element;
    };
    if (inner == 0) continue;
    if (length > 0) {
      copy_strided(element, {length, inner}, source + at(length - 1), {-strides[time], 1}, target + at(0),
                   {strides[time], 1});
    }
    copy_strided(element, {in.dims[time] - length, inner}, source + at(length), {strides[time], 1}, target + at(length),
                 {strides[time], 1});
  }
}

std::vector<AxisRelation> axes_reverse_sequence(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const size_t time = time_axis(c.node());
  const Dims& dims = c.input(0);
  add_tie(relations, dims[1 - time], {in_axis(0, 1 - time), in_axis(1, 0), out_axis(0, 1 - time)});
  tie_same_axes(relations, c, 0, {0, 1});
  relations.push_back(lock(in_axis(0, time), "its entries are turned around"));
  relations.push_back(lock(out_axis(0, time), "its entries are turned around"));
  return relations;
}

std::vector<Sample> cum_sum_samples() {
  const auto axis = [](int64_t value) { return fixed(Tensor::scalar(value)); };
  return {
      {.name = "rows", .inputs = {random_input({2, 3, 5}), axis(1)}},
      {.name = "reverse_exclusive",
       .inputs = {random_input({4, 3}, -1, 1, DType::kFloat64), axis(-2)},
       .attrs = {{"exclusive", int64_t{1}}, {"reverse", int64_t{1}}}},
      {.name = "ints",
       .inputs = {random_input({7}, -9, 9, DType::kInt32), axis(0)},
       .attrs = {{"reverse", int64_t{1}}}},
      {.name = "exclusive", .inputs = {random_input({2, 5}), axis(1)}, .attrs = {{"exclusive", int64_t{1}}}},
  };
}

std::vector<Sample> reverse_sequence_samples() {
  return {
      {.name = "batch_second", .inputs = {random_input({5, 3, 2}), fixed_ints({2, 5, 1})}},
      {.name = "batch_first",
       .inputs = {random_input({3, 4}, 0, 9, DType::kUInt8), fixed_ints({4, 1, 3})},
       .attrs = {{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}}},
  };
}

}  // namespace

void add_cumulative_op(OpTable& table) {
  table.add({.name = "cum_sum",
             .doc = "Running sum along an axis.",
             .inputs = {{.name = "x"}, {.name = "axis", .role = Role::kParameter}},
             .outputs = {{.name = "y"}},
             .attrs = {int_attr("exclusive", 0), int_attr("reverse", 0)},
             .infer = infer_cum_sum,
             .run = run_cum_sum,
             .quant = QuantRule::keep_float("a running sum has a range of its own"),
             .axes = axes_cum_sum,
             .spellings = {onnx("CumSum", 11)},
             .samples = cum_sum_samples});
  table.add({.name = "reverse_sequence",
             .doc = "Turns the first entries of every sequence around.",
             .inputs = {{.name = "input"}, {.name = "sequence_lens", .role = Role::kParameter}},
             .outputs = {{.name = "output"}},
             .attrs = {int_attr("batch_axis", 1), int_attr("time_axis", 0)},
             .infer = infer_reverse_sequence,
             .run = run_reverse_sequence,
             .quant = QuantRule::pass_through(),
             .axes = axes_reverse_sequence,
             .spellings = {onnx("ReverseSequence", 10)},
             .samples = reverse_sequence_samples});
}

}  // namespace amct
