// ArgMax, ArgMin, TopK: positions of the largest and smallest elements along one axis. NaN is larger than any number.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "ir/dispatch.h"
#include "ops/axis_view.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr const char* kRanks = "its entries compete for their rank";

size_t axis_of(const Node& node, size_t rank) {
  return static_cast<size_t>(normalize_axis(attr_int(node, "axis"), rank));
}

template <typename T>
bool less(T a, T b) {
  using C = Compute<T>;
  const C x = static_cast<C>(a), y = static_cast<C>(b);
  return x < y || (y != y && x == x);
}

void infer_arg(InferContext& c) {
  const Shape& input = c.shape(0);
  if (!input.ranked()) return c.set_output(0, DType::kInt64, Shape());
  const size_t axis = axis_of(c.node(), input.rank());
  if (input[axis].is_fixed() && input[axis].extent() == 0) c.fail("an empty axis has no largest element");
  std::vector<Dim> dims = input.dims();
  if (attr_int(c.node(), "keepdims") != 0) {
    dims[axis] = 1;
  } else {
    dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  c.set_output(0, DType::kInt64, Shape(std::move(dims)));
}

template <bool kLargest>
void run_arg(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const AxisView view = axis_view(dims, axis_of(c.node(), dims.size()));
  const bool last = attr_int(c.node(), "select_last_index") != 0;
  visit_numeric(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    int64_t* out = c.output(0).as<int64_t>();
    std::vector<T> best(static_cast<size_t>(view.inner));
    for (int64_t o = 0; o < view.outer; ++o, out += view.inner) {
      const T* row = c.input(0).as<T>() + o * view.extent * view.inner;
      for (int64_t k = 0; k < view.extent; ++k, row += view.inner) {
        for (int64_t i = 0; i < view.inner; ++i) {
          const auto at = static_cast<size_t>(i);
          const bool ahead = kLargest ? less<T>(best[at], row[i]) : less<T>(row[i], best[at]);
          const bool behind = kLargest ? less<T>(row[i], best[at]) : less<T>(best[at], row[i]);
          if (k != 0 && !ahead && !(last && !behind)) continue;
          best[at] = row[i];
          out[i] = k;
        }
      }
    }
  });
}

std::vector<AxisRelation> axes_arg(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const size_t axis = axis_of(c.node(), input.size());
  const bool keep = attr_int(c.node(), "keepdims") != 0;
  for (size_t i = 0; i < input.size(); ++i) {
    if (i == axis) {
      relations.push_back(lock(in_axis(0, i), kRanks));
    } else {
      add_tie(relations, input[i], {in_axis(0, i), out_axis(0, i > axis && !keep ? i - 1 : i)});
    }
  }
  return relations;
}

void infer_top_k(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto k = c.ints(1);
  if (k && (k->size() != 1 || (*k)[0] < 0)) c.fail(fmt::format("k {} is not one number >= 0", to_string(*k)));
  Shape shape = input;
  if (input.ranked()) {
    const size_t axis = axis_of(c.node(), input.rank());
    if (k && input[axis].is_fixed() && (*k)[0] > input[axis].extent()) {
      c.fail(fmt::format("the {} largest of {} elements are asked for", (*k)[0], input[axis].extent()));
    }
    shape[axis] = k ? Dim((*k)[0]) : Dim();
  }
  c.set_output(0, c.dtype(0), shape);
  c.set_output(1, DType::kInt64, shape);
}

void run_top_k(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const size_t axis = axis_of(c.node(), dims.size());
  const AxisView view = axis_view(dims, axis);
  const int64_t k = ints_of(c.input(1)).at(0);
  const bool largest = attr_int(c.node(), "largest") != 0;
  visit_numeric(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    std::vector<int64_t> order(static_cast<size_t>(view.extent));
    for (int64_t o = 0; o < view.outer; ++o) {
      for (int64_t i = 0; i < view.inner; ++i) {
        const T* in = c.input(0).as<T>() + o * view.extent * view.inner + i;
        std::iota(order.begin(), order.end(), 0);
        std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
          const T x = in[a * view.inner], y = in[b * view.inner];
          const bool before = largest ? less<T>(y, x) : less<T>(x, y);
          const bool after = largest ? less<T>(x, y) : less<T>(y, x);
          return before || (!after && a < b);
        });
        for (int64_t rank = 0; rank < k; ++rank) {
          const int64_t at = (o * k + rank) * view.inner + i;
          const int64_t position = order[static_cast<size_t>(rank)];
          if (c.wants(0)) c.output(0).as<T>()[at] = in[position * view.inner];
          if (c.wants(1)) c.output(1).as<int64_t>()[at] = position;
        }
      }
    }
  });
}

std::vector<AxisRelation> axes_top_k(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const size_t axis = axis_of(c.node(), input.size());
  for (size_t i = 0; i < input.size(); ++i) {
    std::vector<AxisRef> refs{in_axis(0, i)};
    for (size_t port = 0; port < c.output_count(); ++port) {
      if (c.node().output(port).valid()) refs.push_back(out_axis(port, i));
    }
    if (i != axis) {
      add_tie(relations, input[i], std::move(refs));
    } else {
      for (const AxisRef& ref : refs) relations.push_back(lock(ref, kRanks));
    }
  }
  return relations;
}

void import_top_k_1(ImportContext& c) {
  Attrs attrs;
  if (c.attrs().has("axis")) attrs.set("axis", c.attrs().require<int64_t>("axis"));
  c.add({c.input(0), c.ints_constant("k", {c.attrs().require<int64_t>("k")})}, std::move(attrs));
}

// Versions before 11 know the largest, sorted ones only.
Attrs early_attrs(ExportContext& c) {
  if (attr_int(c.node(), "largest") == 0) c.unsupported("the smallest elements need opset 11");
  return {{"axis", attr_int(c.node(), "axis")}};
}

void export_top_k_10(ExportContext& c) { c.emit(input_names(c), early_attrs(c)); }

void export_top_k_1(ExportContext& c) {
  Attrs attrs = early_attrs(c);
  attrs.set("k", c.constant_ints(1, 10)->at(0));
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

std::vector<Sample> arg_samples() {
  const Tensor ties = Tensor::of<float>({2, 4}, {2, 5, 5, 1, 0, 0, -1, -1});
  return {
      {.name = "channels", .inputs = {random_input({2, 5, 3, 4})}, .attrs = {{"axis", int64_t{1}}}},
      {.name = "dropped",
       .inputs = {random_input({3, 4, 5}, -99, 99, DType::kInt32)},
       .attrs = {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}}},
      {.name = "first_of_equals", .inputs = {fixed(ties)}, .attrs = {{"axis", int64_t{1}}}},
      {.name = "last_of_equals",
       .inputs = {fixed(ties)},
       .attrs = {{"axis", int64_t{1}}, {"select_last_index", int64_t{1}}}},
  };
}

std::vector<Sample> top_k_samples() {
  return {
      {.name = "largest", .inputs = {random_input({3, 7}), fixed_ints({3})}, .outputs = 2},
      {.name = "smallest",
       .inputs = {random_input({5, 2, 3}), fixed_ints({2})},
       .attrs = {{"axis", int64_t{0}}, {"largest", int64_t{0}}},
       .outputs = 2},
      {.name = "ints",
       .inputs = {random_input({2, 6}, -999, 999, DType::kInt64), fixed_ints({6})},
       .attrs = {{"axis", int64_t{-1}}},
       .outputs = 2},
      {.name = "none", .inputs = {random_input({2, 6}), fixed_ints({0})}, .outputs = 2},
  };
}

OpRow arg_row(std::string name, std::string type, std::string doc, RunFn run) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{.name = "data"}},
          .outputs = {{.name = "position"}},
          .attrs = {int_attr("axis", 0), int_attr("keepdims", 1), int_attr("select_last_index", 0)},
          .infer = infer_arg,
          .run = run,
          .quant = QuantRule::keep_float("its result is positions, which hold no values of its input"),
          .axes = axes_arg,
          .spellings = {onnx(type, 12), onnx(type, 1, 11, import_default,
                                             [](ExportContext& c) { export_without(c, "select_last_index", 12); })},
          .samples = arg_samples};
}

}  // namespace

void add_arg_op(OpTable& table) {
  table.add(arg_row("arg_max", "ArgMax", "Position of the largest element along an axis.", run_arg<true>));
  table.add(arg_row("arg_min", "ArgMin", "Position of the smallest element along an axis.", run_arg<false>));
  table.add({.name = "top_k",
             .doc = "The k largest or smallest elements along an axis, sorted, with their positions.",
             .inputs = {{.name = "x"}, shape_port("k")},
             .outputs = {{.name = "values"}, {.name = "indices"}},
             .attrs = {int_attr("axis", -1), int_attr("largest", 1), int_attr("sorted", 1)},
             .infer = infer_top_k,
             .timing = ShapeTiming::kFromValues,
             .run = run_top_k,
             .quant = QuantRule::keep_float("no target ranks elements in integers"),
             .axes = axes_top_k,
             .spellings = {onnx("TopK", 11), onnx("TopK", 10, 10, import_default, export_top_k_10),
                           onnx("TopK", 1, 9, import_top_k_1, export_top_k_1)},
             .samples = top_k_samples});
}

}  // namespace amct
