// Softmax, log-softmax and hardmax along one axis.
//
// Before opset 13 all axes from `axis` on are normalised together, as if flattened to one. Attribute `flatten` keeps
// that where it differs from the newer meaning; exporting it to opset 13 or later flattens and reshapes around the
// node, and an inner axis is moved to the end and back for an older opset.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/simd/softmax.h"
#include "ops/elementwise.h"

namespace amct {
namespace {

constexpr int64_t kOneAxisOpset = 13;
constexpr int64_t kNegativeAxisOpset = 11;

bool flattens(const Node& node) { return attr_int(node, "flatten") != 0; }

void infer_softmax(InferContext& c) {
  expect_type(c, 0, is_float_type);
  if (c.shape(0).ranked()) normalize_axis(attr_int(c.node(), "axis"), c.shape(0).rank());
  infer_same_as_first(c);
}

// The tensor as (outer, n, inner) with the normalised elements in the middle.
struct Runs {
  int64_t outer, n, inner;
};

Runs runs_of(const RunContext& c) {
  const Dims& dims = c.input(0).dims;  // memory extents
  const size_t rank = dims.size();
  const auto axis = static_cast<size_t>(normalize_axis(attr_int(c.node(), "axis"), rank));
  size_t first = c.memory_axis(axis, rank);
  size_t end = first + 1;
  if (flattens(c.node())) {
    // In channels-last memory the spatial axes lie before the channels.
    const bool channels_apart = c.layout() == Layout::kChannelsLast && rank >= 3 && axis >= 2;
    first = channels_apart ? first : axis;
    end = channels_apart ? rank - 1 : rank;
  }
  const auto product = [&](size_t from, size_t to) {
    return std::accumulate(dims.begin() + static_cast<ptrdiff_t>(from), dims.begin() + static_cast<ptrdiff_t>(to),
                           int64_t{1}, std::multiplies<>());
  };
  return {product(0, first), product(first, end), product(end, rank)};
}

// Calls `f(first element, stride, n)` for every run.
template <typename F>
void for_each_run(const Runs& runs, F f) {
  for (int64_t o = 0; o < runs.outer; ++o) {
    for (int64_t i = 0; i < runs.inner; ++i) f(o * runs.n * runs.inner + i, runs.inner, runs.n);
  }
}

template <typename T>
void softmax_run(const T* x, T* y, int64_t stride, int64_t n, bool logarithm) {
  using C = Compute<T>;
  C m = static_cast<C>(x[0]);
  for (int64_t i = 1; i < n; ++i) m = std::max(m, static_cast<C>(x[i * stride]));
  C sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<C>(x[i * stride]) - m);
  const C log_sum = std::log(sum);
  for (int64_t i = 0; i < n; ++i) {
    const C shifted = static_cast<C>(x[i * stride]) - m;
    y[i * stride] = static_cast<T>(logarithm ? shifted - log_sum : std::exp(shifted) / sum);
  }
}

void run_normalized(RunContext& c, bool logarithm) {
  const Runs runs = runs_of(c);
  if (runs.n == 0) return;
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    const T* x = c.input(0).as<T>();
    T* y = c.output(0).as<T>();
    if constexpr (std::is_same_v<T, float>) {
      float_softmax(x, y, runs.outer, runs.n, runs.inner, logarithm);
    } else {
      for_each_run(runs,
                   [&](int64_t at, int64_t stride, int64_t n) { softmax_run(x + at, y + at, stride, n, logarithm); });
    }
  });
}

void run_hardmax(RunContext& c) {
  const Runs runs = runs_of(c);
  if (runs.n == 0) return;
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    using C = Compute<T>;
    for_each_run(runs, [&](int64_t at, int64_t stride, int64_t n) {
      const T* x = c.input(0).as<T>() + at;
      T* y = c.output(0).as<T>() + at;
      int64_t best = 0;
      for (int64_t i = 1; i < n; ++i) {
        if (static_cast<C>(x[i * stride]) > static_cast<C>(x[best * stride])) best = i;
      }
      for (int64_t i = 0; i < n; ++i) y[i * stride] = static_cast<T>(static_cast<C>(i == best ? 1 : 0));
    });
  });
}

std::vector<AxisRelation> axes_softmax(const AxesContext& c) {
  const size_t rank = c.input(0).size();
  const auto axis = static_cast<size_t>(normalize_axis(attr_int(c.node(), "axis"), rank));
  const size_t end = flattens(c.node()) ? rank : axis + 1;
  std::vector<AxisRelation> relations;
  for (size_t i = 0; i < rank; ++i) {
    if (i >= axis && i < end) {
      relations.push_back(lock(in_axis(0, i), "the results along it are normalised together"));
      relations.push_back(lock(out_axis(0, i), "the results along it are normalised together"));
    } else if (c.input(0)[i] > 1) {
      relations.push_back(tie(c.input(0)[i], {in_axis(0, i), out_axis(0, i)}));
    }
  }
  return relations;
}

void import_flattening(ImportContext& c) {
  int64_t axis = 1;
  for (const auto& [name, value] : c.attrs().items()) {
    if (name != "axis") c.unsupported("attribute '" + name + "' is not known");
    axis = c.attrs().require<int64_t>(name);
  }
  const Shape& shape = c.type(0).shape;
  const bool last = axis == -1 || (shape.ranked() && axis == static_cast<int64_t>(shape.rank()) - 1);
  Attrs attrs{{"axis", last ? int64_t{-1} : axis}};
  if (!last) attrs.set("flatten", int64_t{1});
  c.add(c.foreign().inputs, std::move(attrs));
}

// The one axis from `axis` on that is longer than 1, or the last if none is; -1 if there may be several.
int64_t only_axis(const Shape& shape, int64_t axis) {
  if (!shape.ranked()) return -1;
  const auto rank = static_cast<int64_t>(shape.rank());
  int64_t found = -1;
  for (int64_t i = axis; i < rank; ++i) {
    const Dim& dim = shape[static_cast<size_t>(i)];
    if (dim.is_fixed() && dim.extent() == 1) continue;
    if (found >= 0) return -1;
    found = i;
  }
  return found >= 0 ? found : rank - 1;
}

void export_one_axis(ExportContext& c, std::string type) {
  const std::string x = c.value_name(c.node().input(0));
  int64_t axis = attr_int(c.node(), "axis");
  if (flattens(c.node())) {
    const Shape& shape = c.graph().value(c.node().input(0)).type.shape;
    const int64_t only = shape.ranked() ? only_axis(shape, normalize_axis(axis, shape.rank())) : -1;
    if (only < 0) {
      const std::string extents = c.emit_helper("Shape", {x}, {}, "shape");
      const std::string flat = c.emit_helper("Flatten", {x}, {{"axis", axis}}, "flat");
      const std::string y = c.emit_helper(std::move(type), {flat}, {{"axis", int64_t{-1}}}, "normalized");
      return c.emit_as("Reshape", {y, extents}, {});
    }
    axis = only;
  }
  c.emit({x}, {{"axis", axis}});
}

void export_flattening(ExportContext& c, std::string type) {
  const std::string x = c.value_name(c.node().input(0));
  int64_t axis = attr_int(c.node(), "axis");
  if (flattens(c.node())) return c.emit({x}, {{"axis", axis}});
  if (axis == -1 && c.version() >= kNegativeAxisOpset) return c.emit({x}, {{"axis", axis}});
  const Shape& shape = c.graph().value(c.node().input(0)).type.shape;
  if (!shape.ranked()) c.unsupported("an axis of a tensor of unknown rank needs opset 13");
  axis = normalize_axis(axis, shape.rank());
  if (only_axis(shape, axis) == axis || axis + 1 == static_cast<int64_t>(shape.rank())) {
    return c.emit({x}, {{"axis", axis}});
  }
  std::vector<int64_t> order(shape.rank());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[static_cast<size_t>(axis)], order.back());  // its own inverse
  const std::string moved = c.emit_helper("Transpose", {x}, {{"perm", order}}, "moved");
  const auto last = static_cast<int64_t>(shape.rank()) - 1;
  const std::string y = c.emit_helper(std::move(type), {moved}, {{"axis", last}}, "normalized");
  c.emit_as("Transpose", {y}, {{"perm", order}});
}

// The node in the middle needs the foreign type, and a function pointer carries no state.
constexpr const char* kTypes[] = {"Softmax", "LogSoftmax", "Hardmax"};
template <int kRow>
void export_new(ExportContext& c) {
  export_one_axis(c, kTypes[kRow]);
}
template <int kRow>
void export_old(ExportContext& c) {
  export_flattening(c, kTypes[kRow]);
}

std::vector<Sample> softmax_samples() {
  const auto with = [](std::string name, Dims dims, Attrs attrs) {
    return unary_sample(std::move(name), std::move(dims), -4, 4, DType::kFloat32, std::move(attrs));
  };
  return {with("last_axis", {3, 2, 37}, {}),
          with("channels", {2, 21, 3, 5}, {{"axis", int64_t{1}}}),
          with("negative_axis", {2, 5, 3, 7}, {{"axis", int64_t{-2}}}),
          with("first_axis", {7, 3}, {{"axis", int64_t{0}}}),
          with("vector", {5}, {}),
          with("empty", {0, 5}, {}),
          unary_sample("float64", {3, 7}, -4, 4, DType::kFloat64),
          unary_sample("float16", {3, 7}, -4, 4, DType::kFloat16)};
}

std::vector<Sample> softmax_and_flat_samples() {
  std::vector<Sample> samples = softmax_samples();
  samples.push_back(
      unary_sample("flattened", {2, 3, 5}, -4, 4, DType::kFloat32, {{"axis", int64_t{1}}, {"flatten", int64_t{1}}}));
  samples.push_back(unary_sample("flattened_image", {2, 3, 5, 7}, -4, 4, DType::kFloat32,
                                 {{"axis", int64_t{2}}, {"flatten", int64_t{1}}}));
  return samples;
}

template <int kRow>
OpRow softmax_row(std::string name, std::string doc, RunFn run, QuantRule quant) {
  const Spelling old = onnx(kTypes[kRow], 1, kOneAxisOpset - 1, import_flattening, export_old<kRow>);
  const Spelling now =
      onnx(kTypes[kRow], kOneAxisOpset, std::numeric_limits<int64_t>::max(), nullptr, export_new<kRow>);
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{"x"}},
          .outputs = {{"y"}},
          .attrs = {int_attr("axis", -1), int_attr("flatten", 0)},
          .infer = infer_softmax,
          .run = run,
          .layout = LayoutRule::kFollow,
          .in_place = true,
          .quant = std::move(quant),
          .axes = axes_softmax,
          .spellings = {old, now},
          .samples = softmax_and_flat_samples};
}

}  // namespace

void add_softmax_op(OpTable& table) {
  table.add(softmax_row<0>(
      "softmax", "Exponentials that add up to 1 along an axis.", [](RunContext& c) { run_normalized(c, false); },
      QuantRule::fixed_range(0, 1)));
  table.add(softmax_row<1>(
      "log_softmax", "Logarithm of softmax.", [](RunContext& c) { run_normalized(c, true); },
      QuantRule::keep_float("its results have no lower bound")));
  OpRow hardmax = softmax_row<2>("hardmax", "1 at the first largest element along an axis, 0 elsewhere.", run_hardmax,
                                 QuantRule::fixed_range(0, 1));
  hardmax.layout = LayoutRule::kPlain;  // which of equal elements is first depends on their order
  table.add(std::move(hardmax));
}

}  // namespace amct
