// GridSample: reads images and volumes at the places that a grid names, one place per output pixel.
//
// A place n in [-1, 1] along an axis of extent d is the position x = (n + 1) (d - 1) / 2 with align_corners, else
// x = ((n + 1) d - 1) / 2; the last axis of the grid lists places innermost axis first. Positions outside the image are
// clamped to its border (taps of cubic) or reflected at it, or what is read there is zero. Along each axis a position
// becomes taps (1 nearest, 2 linear, 4 cubic with a = -3/4); the result is the sum over all combinations of taps.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr int64_t kAnyRankOpset = 20;
constexpr size_t kMaxAxes = 3;

enum class Mode { kNearest, kLinear, kCubic };
enum class Padding { kZeros, kBorder, kReflection };

std::optional<Mode> mode_of(const Node& node) {
  const std::string mode = attr_string(node, "mode");
  if (mode == "nearest") return Mode::kNearest;
  if (mode == "linear") return Mode::kLinear;
  if (mode == "cubic") return Mode::kCubic;
  return std::nullopt;
}

std::optional<Padding> padding_of(const Node& node) {
  const std::string mode = attr_string(node, "padding_mode");
  if (mode == "zeros") return Padding::kZeros;
  if (mode == "border") return Padding::kBorder;
  if (mode == "reflection") return Padding::kReflection;
  return std::nullopt;
}

void infer(InferContext& c) {
  if (!mode_of(c.node())) {
    c.fail(fmt::format("attribute 'mode' is '{}'; nearest, linear and cubic are known", attr_string(c.node(), "mode")));
  }
  if (!padding_of(c.node())) {
    c.fail(fmt::format("attribute 'padding_mode' is '{}'; zeros, border and reflection are known",
                       attr_string(c.node(), "padding_mode")));
  }
  expect_type(c, 0, is_number_type);
  expect_type(c, 1, is_float_type);
  const Shape& x = c.shape(0);
  const Shape& grid = c.shape(1);
  if (!x.ranked() && !grid.ranked()) return c.set_output(0, c.dtype(0), Shape());
  const size_t rank = x.ranked() ? x.rank() : grid.rank();
  if (rank < 3 || rank > 2 + kMaxAxes) c.fail(fmt::format("its input has rank {}; 3 to 5 is known", rank));
  if (grid.ranked() && grid.rank() != rank) {
    c.fail(fmt::format("its grid has rank {} for an input of rank {}", grid.rank(), rank));
  }
  if (grid.ranked() && grid[rank - 1].is_fixed() && grid[rank - 1].extent() != static_cast<int64_t>(rank) - 2) {
    c.fail(fmt::format("the last axis of its grid {} must have {} places", grid.to_string(), rank - 2));
  }
  Shape y = Shape::of_rank(rank);
  if (x.ranked()) y[1] = x[1];
  if (x.ranked()) y[0] = x[0];
  if (grid.ranked()) {
    if (x.ranked() && x[0].is_fixed() && grid[0].is_fixed() && x[0] != grid[0]) {
      c.fail(fmt::format("its grid {} is for another batch than {}", grid.to_string(), x.to_string()));
    }
    for (size_t axis = 2; axis < rank; ++axis) y[axis] = grid[axis - 1];
  }
  c.set_output(0, c.dtype(0), std::move(y));
}

// Where an axis is read: positions inside it with their weights. Entries outside the image have weight 0.
struct Taps {
  int count = 0;
  std::array<int64_t, 4> at{};
  std::array<double, 4> weight{};
};

struct Axis {
  int64_t extent;
  double low, high;  // the borders that positions are clamped to or reflected at

  Axis(int64_t size, bool align_corners)
      : extent(size),
        low(align_corners ? 0 : -0.5),
        high(align_corners ? static_cast<double>(size) - 1 : static_cast<double>(size) - 0.5) {}

  double reflect(double x) const {
    const double range = high - low;
    if (range <= 0) return low;
    const double distance = x < low ? low - x : x - high;
    const double rest = std::fmod(distance, range);
    const bool even = std::fmod(std::floor(distance / range), 2) == 0;
    return (x < low) == even ? low + rest : high - rest;
  }
};

// Positions are single precision unless the grid is double: at ties of `nearest` the rounding decides.
template <typename G>
double position_of(G place, const Axis& axis, bool align_corners) {
  using F = std::conditional_t<std::is_same_v<G, double>, double, float>;
  const F n = static_cast<F>(place), extent = static_cast<F>(axis.extent);
  const F x = align_corners ? (n + 1) / 2 * (extent - 1) : ((n + 1) * extent - 1) / 2;
  return static_cast<double>(x);
}

std::array<double, 4> cubic_weights(double t) {
  constexpr double a = -0.75;
  const auto outer = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  const auto inner = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  return {outer(t + 1), inner(t), inner(1 - t), outer(2 - t)};
}

Taps taps_of(double x, const Axis& axis, Mode mode, Padding padding) {
  constexpr double kFarOutside = 1e9;  // beyond every image, and safe to convert
  x = std::isnan(x) ? -kFarOutside : std::clamp(x, -kFarOutside, kFarOutside);
  if (mode == Mode::kNearest) x = std::nearbyint(x);
  if (x < axis.low || x > axis.high) {
    // Cubic taps keep their weights and are clamped one by one, as in PyTorch and ONNX Runtime.
    if (padding == Padding::kBorder && mode != Mode::kCubic) {
      x = std::clamp(x, 0.0, std::max(static_cast<double>(axis.extent) - 1, 0.0));
    }
    if (padding == Padding::kReflection) x = axis.reflect(x);
  }
  Taps taps;
  const double floor = std::floor(x);
  auto first = static_cast<int64_t>(floor);
  if (mode == Mode::kNearest) {
    taps.count = 1;
    taps.weight[0] = 1;
  } else if (mode == Mode::kLinear) {
    taps.count = 2;
    taps.weight = {1 - (x - floor), x - floor};
  } else {
    taps.count = 4;
    taps.weight = cubic_weights(x - floor);
    first -= 1;
  }
  for (int i = 0; i < taps.count; ++i) {
    int64_t at = first + i;
    const bool outside = at < 0 || at >= axis.extent;
    if (outside && padding == Padding::kReflection) at = static_cast<int64_t>(axis.reflect(static_cast<double>(at)));
    if (outside && padding == Padding::kZeros) taps.weight[static_cast<size_t>(i)] = 0;
    taps.at[static_cast<size_t>(i)] = std::clamp<int64_t>(at, 0, std::max<int64_t>(axis.extent - 1, 0));
  }
  return taps;
}

// Offsets and weights of all combinations of the axes' taps; shared by all channels.
struct Mix {
  size_t count = 0;
  std::array<int64_t, 64> offset{};
  std::array<double, 64> weight{};
};

void combine(const std::array<Taps, kMaxAxes>& taps, const std::vector<Axis>& axes, Mix& mix) {
  mix.count = 1;
  mix.offset[0] = 0;
  mix.weight[0] = 1;
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    const Taps& own = taps[axis];
    const size_t before = mix.count;
    mix.count = before * static_cast<size_t>(own.count);
    for (size_t i = mix.count; i-- > 0;) {  // backwards: entries are read before they are overwritten
      const size_t tap = i / before;
      mix.offset[i] = mix.offset[i % before] * axes[axis].extent + own.at[tap];
      mix.weight[i] = mix.weight[i % before] * own.weight[tap];
    }
  }
}

template <typename T, typename G>
void sample(const RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const bool align = attr_int(c.node(), "align_corners") != 0;
  const Mode mode = *mode_of(c.node());
  const Padding padding = *padding_of(c.node());
  std::vector<Axis> axes;
  int64_t plane = 1;
  for (size_t i = 2; i < dims.size(); ++i) {
    axes.emplace_back(dims[i], align);
    plane *= dims[i];
  }
  const int64_t channels = dims[1], pixels = c.output(0).size() / std::max<int64_t>(dims[0] * channels, 1);
  const G* grid = c.input(1).as<G>();
  if (c.output(0).size() == 0) return;
#pragma omp parallel for num_threads(c.threads())
  for (int64_t index = 0; index < dims[0] * pixels; ++index) {
    const int64_t n = index / pixels, pixel = index % pixels;
    std::array<Taps, kMaxAxes> taps;
    for (size_t axis = 0; axis < axes.size(); ++axis) {
      const G place = grid[index * static_cast<int64_t>(axes.size()) + static_cast<int64_t>(axes.size() - 1 - axis)];
      taps[axis] = taps_of(position_of(place, axes[axis], align), axes[axis], mode, padding);
    }
    Mix mix;
    combine(taps, axes, mix);
    for (int64_t channel = 0; channel < channels; ++channel) {
      const T* from = c.input(0).as<T>() + (n * channels + channel) * plane;
      double sum = 0;
      for (size_t i = 0; i < mix.count && plane > 0; ++i) {
        if (mix.weight[i] != 0)
          sum += mix.weight[i] * static_cast<double>(static_cast<Compute<T>>(from[mix.offset[i]]));
      }
      c.output(0).as<T>()[(n * channels + channel) * pixels + pixel] = static_cast<T>(static_cast<Compute<T>>(sum));
    }
  }
}

void run(RunContext& c) {
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    visit_floats(c.input(1).dtype, [&]<typename G>(Tag<G>) { sample<T, G>(c); });
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  add_tie(relations, c.output(0)[0], {in_axis(0, 0), in_axis(1, 0), out_axis(0, 0)});
  add_tie(relations, c.output(0)[1], {in_axis(0, 1), out_axis(0, 1)});
  for (size_t axis = 2; axis < c.output(0).size(); ++axis) {
    relations.push_back(lock(in_axis(0, axis), "the grid reads it anywhere"));
    add_tie(relations, c.output(0)[axis], {in_axis(1, axis - 1), out_axis(0, axis)});
  }
  return relations;
}

// Before opset 20 the modes were called after images: bilinear and bicubic.
void import_images(ImportContext& c) {
  Attrs attrs = c.attrs();
  const std::string mode = attrs.get<std::string>("mode", "bilinear");
  if (mode == "bilinear" || mode == "bicubic") attrs.set("mode", mode.substr(2) == "linear" ? "linear" : "cubic");
  for (const auto& [name, value] : attrs.items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  c.add(c.foreign().inputs, std::move(attrs));
}

void export_images(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  const std::string mode = attr_string(c.node(), "mode");
  attrs.set("mode", mode == "nearest" ? mode : "bi" + mode);
  const Shape& x = c.graph().value(c.node().input(0)).type.shape;
  if (x.ranked() && x.rank() != 4)
    c.unsupported(fmt::format("an input of rank {} needs opset {}", x.rank(), kAnyRankOpset));
  c.emit(input_names(c), std::move(attrs));
}

Sample one(std::string name, Dims x, Dims grid, Attrs attrs, DType dtype = DType::kFloat32) {
  return {.name = std::move(name),
          .inputs = {random_input(std::move(x), -1, 1, dtype), random_input(std::move(grid), -1.4, 1.4)},
          .attrs = std::move(attrs)};
}

std::vector<Sample> samples() {
  using S = std::string;
  std::vector<Sample> samples = {
      one("plain", {2, 3, 5, 7}, {2, 4, 3, 2}, {}),
      one("nearest_border", {1, 3, 5, 4}, {1, 6, 3, 2}, {{"mode", S("nearest")}, {"padding_mode", S("border")}}),
      one("linear_reflection", {2, 1, 3, 5}, {2, 5, 7, 2}, {{"padding_mode", S("reflection")}}),
      one("cubic", {1, 2, 7, 6}, {1, 3, 5, 2}, {{"mode", S("cubic")}}),
      one("cubic_border_aligned", {1, 2, 5, 6}, {1, 3, 5, 2},
          {{"mode", S("cubic")}, {"padding_mode", S("border")}, {"align_corners", int64_t{1}}}),
      one("cubic_reflection", {1, 2, 5, 6}, {1, 3, 5, 2}, {{"mode", S("cubic")}, {"padding_mode", S("reflection")}}),
      one("aligned_reflection", {1, 2, 5, 6}, {1, 3, 5, 2},
          {{"align_corners", int64_t{1}}, {"padding_mode", S("reflection")}}),
      one("volume", {1, 2, 3, 5, 4}, {1, 3, 2, 5, 3}, {}),
      one("volume_nearest_reflection", {2, 1, 3, 5, 4}, {2, 3, 2, 5, 3},
          {{"mode", S("nearest")}, {"padding_mode", S("reflection")}}),
      one("volume_border_aligned", {1, 2, 3, 5, 4}, {1, 3, 2, 5, 3},
          {{"padding_mode", S("border")}, {"align_corners", int64_t{1}}}),
  };
  return samples;
}

}  // namespace

void add_grid_sample_op(OpTable& table) {
  table.add(
      {.name = "grid_sample",
       .doc = "Reads an image or a volume at the places that a grid names.",
       .inputs = {{"x"}, {"grid"}},
       .outputs = {{"y"}},
       .attrs = {string_attr("mode", "linear"), string_attr("padding_mode", "zeros"), int_attr("align_corners", 0)},
       .infer = infer,
       .run = run,
       .quant = QuantRule::keep_float("it interpolates at computed places"),
       .axes = axes,
       .spellings = {onnx("GridSample", kAnyRankOpset),
                     onnx("GridSample", 16, kAnyRankOpset - 1, import_images, export_images)},
       .samples = samples});
}

}  // namespace amct
