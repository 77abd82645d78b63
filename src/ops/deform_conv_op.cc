// Deformable convolution (Dai et al. 2017, Zhu et al. 2018): each tap of each output pixel is read at its own computed
// offset, bilinearly, with zeros outside the image, and multiplied by its own mask.
//
//   y(o, p) = bias(o) + sum over input channels i of the group and taps k of w(o, i, k) mask(k, p) x(i, p s + k d - pad
//   + offset(k, p))
//
// Offsets are (batch, offset_group * kernel * 2, output height, output width), row before column; masks have half as
// many channels. Columns of samples are gathered for one group at a time and multiplied with its weights.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/compute_row.h"
#include "ops/movement.h"
#include "ops/window.h"

namespace amct {
namespace {

enum Port : size_t { kX, kWeight, kOffset, kBias, kMask };

void check_rank(const InferContext& c, size_t port, size_t rank) {
  if (!c.has(port) || !c.shape(port).ranked() || c.shape(port).rank() == rank) return;
  c.fail(fmt::format("input {} has rank {}; {} is needed", port, c.shape(port).rank(), rank));
}

void check_extents(const InferContext& c, size_t port, const Dims& expected) {
  const auto dims = c.has(port) ? c.shape(port).fixed() : std::nullopt;
  if (dims && *dims != expected) {
    c.fail(fmt::format("input {} has shape {}; {} is needed", port, to_string(*dims), to_string(expected)));
  }
}

void infer(InferContext& c) {
  if (is_integer(c.dtype(kX))) c.fail("its input has integers; floating point is needed");
  for (const size_t port : {kX, kWeight, kOffset, kMask}) check_rank(c, port, 4);
  check_rank(c, kBias, 1);
  Shape y = Shape::of_rank(4);
  const auto x = c.shape(kX).fixed(), w = c.shape(kWeight).fixed();
  if (c.shape(kX).ranked()) y[0] = c.shape(kX)[0];
  if (c.shape(kWeight).ranked()) y[1] = c.shape(kWeight)[0];
  if (x && w) {
    const int64_t groups = attr_int(c.node(), "group"), offsets = attr_int(c.node(), "offset_group");
    if (groups < 1 || (*x)[1] % groups != 0 || (*x)[1] / groups != (*w)[1] || (*w)[0] % groups != 0) {
      c.fail(fmt::format("weights {} and {} groups do not fit an input of {}", to_string(*w), groups, to_string(*x)));
    }
    if (offsets < 1 || (*x)[1] % offsets != 0) {
      c.fail(fmt::format("{} offset groups do not divide {} channels", offsets, (*x)[1]));
    }
    const Dims kernel(w->begin() + 2, w->end());
    const Dims spatial = window_outputs(c.node(), read_window(c.node(), kernel), std::span(*x).subspan(2));
    for (size_t i = 0; i < 2; ++i) y[2 + i] = spatial[i];
    const int64_t taps = offsets * kernel[0] * kernel[1];
    check_extents(c, kOffset, {(*x)[0], 2 * taps, spatial[0], spatial[1]});
    check_extents(c, kMask, {(*x)[0], taps, spatial[0], spatial[1]});
    check_extents(c, kBias, {(*w)[0]});
  }
  c.set_output(0, c.dtype(kX), std::move(y));
}

double bilinear(const double* image, int64_t height, int64_t width, double y, double x) {
  if (!(y > -1 && y < static_cast<double>(height) && x > -1 && x < static_cast<double>(width))) return 0;
  const double top = std::floor(y), left = std::floor(x), dy = y - top, dx = x - left;
  const auto row = static_cast<int64_t>(top), column = static_cast<int64_t>(left);
  const auto pixel = [&](int64_t i, int64_t j) {
    return i < 0 || i >= height || j < 0 || j >= width ? 0.0 : image[i * width + j];
  };
  return (1 - dy) * ((1 - dx) * pixel(row, column) + dx * pixel(row, column + 1)) +
         dy * ((1 - dx) * pixel(row + 1, column) + dx * pixel(row + 1, column + 1));
}

struct Problem {
  Dims x, w, y;
  dnn::Window window;
  int64_t groups = 1, offset_groups = 1;
  std::vector<double> image, offset, mask;  // mask is empty if there is none
  int64_t pixels() const { return y[2] * y[3]; }
  int64_t taps() const { return w[2] * w[3]; }
};

// The samples of one channel, taps by pixels.
void gather(const Problem& p, int64_t n, int64_t channel, double* columns) {
  const double* image = p.image.data() + (n * p.x[1] + channel) * p.x[2] * p.x[3];
  const int64_t offsets = channel / (p.x[1] / p.offset_groups);
  for (int64_t tap = 0; tap < p.taps(); ++tap) {
    const int64_t at = (n * p.offset_groups + offsets) * p.taps() + tap;
    const double* dy = p.offset.data() + 2 * at * p.pixels();
    const double* dx = dy + p.pixels();
    const double* mask = p.mask.empty() ? nullptr : p.mask.data() + at * p.pixels();
    const int64_t first_row = tap / p.w[3] * p.window.dilations[0] - p.window.pads_begin[0];
    const int64_t first_column = tap % p.w[3] * p.window.dilations[1] - p.window.pads_begin[1];
    for (int64_t pixel = 0; pixel < p.pixels(); ++pixel) {
      const auto row = static_cast<double>(pixel / p.y[3] * p.window.strides[0] + first_row);
      const auto column = static_cast<double>(pixel % p.y[3] * p.window.strides[1] + first_column);
      const double value = bilinear(image, p.x[2], p.x[3], row + dy[pixel], column + dx[pixel]);
      columns[tap * p.pixels() + pixel] = mask != nullptr ? value * mask[pixel] : value;
    }
  }
}

void run(RunContext& c) {
  const Node& node = c.node();
  Problem p{.x = c.input(kX).dims,
            .w = c.input(kWeight).dims,
            .y = c.output(0).dims,
            .window = {},
            .groups = attr_int(node, "group"),
            .offset_groups = attr_int(node, "offset_group"),
            .image = reference::widen(c.input(kX)),
            .offset = reference::widen(c.input(kOffset)),
            .mask = c.has(kMask) ? reference::widen(c.input(kMask)) : std::vector<double>()};
  const WindowRule rule = read_window(node, Dims(p.w.begin() + 2, p.w.end()));
  p.window = resolve_window(rule, std::span(p.x).subspan(2), false);
  const std::vector<double> weights = reference::widen(c.input(kWeight));
  const std::vector<double> bias = c.has(kBias) ? reference::widen(c.input(kBias)) : std::vector<double>();
  std::vector<double> y(static_cast<size_t>(c.output(0).size()));
  const int64_t inputs = p.w[1], outputs = p.w[0] / p.groups, depth = inputs * p.taps();
  std::vector<double> columns(static_cast<size_t>(depth * p.pixels()));
  for (int64_t n = 0; n < p.x[0]; ++n) {
    for (int64_t group = 0; group < p.groups; ++group) {
#pragma omp parallel for num_threads(c.threads())
      for (int64_t i = 0; i < inputs; ++i) gather(p, n, group * inputs + i, columns.data() + i * p.taps() * p.pixels());
      double* to = y.data() + (n * p.y[1] + group * outputs) * p.pixels();
      for (int64_t o = 0; o < outputs && !bias.empty(); ++o) {
        std::fill_n(to + o * p.pixels(), p.pixels(), bias[static_cast<size_t>(group * outputs + o)]);
      }
      reference::multiply_add(outputs, p.pixels(), depth, weights.data() + group * outputs * depth, columns.data(), to,
                              c.threads());
    }
  }
  reference::narrow(y, c.output(0));
}

Cost cost(const CostContext& c) {
  const Dims& w = c.input(kWeight);
  return {element_count(c.output(0)) * w[1] * w[2] * w[3]};
}

std::vector<Sample> samples() {
  return {
      {.name = "plain",
       .inputs = {random_input({2, 3, 5, 6}), random_weight({4, 3, 2, 3}), random_input({2, 12, 4, 4})}},
      {.name = "masked_groups",
       .inputs = {random_input({1, 4, 7, 5}), random_weight({6, 2, 3, 2}), random_input({1, 24, 4, 5}, -2, 2),
                  random_weight({6}), random_input({1, 12, 4, 5}, 0, 1)},
       .attrs = {{"group", int64_t{2}},
                 {"offset_group", int64_t{2}},
                 {"strides", Ints{2, 1}},
                 {"dilations", Ints{1, 2}},
                 {"pads", Ints{1, 2, 1, 0}}}},
  };
}

}  // namespace

void add_deform_conv_op(OpTable& table) {
  std::vector<AttrSpec> attrs = window_attrs();
  std::erase_if(attrs, [](const AttrSpec& attr) { return attr.name == "auto_pad"; });
  attrs.push_back(ints_attr("kernel_shape"));
  attrs.push_back(int_attr("group", 1));
  attrs.push_back(int_attr("offset_group", 1));
  table.add(
      {.name = "deform_conv",
       .doc = "Convolution whose taps are read at computed offsets.",
       .inputs =
           {{"x"}, {"w", Role::kWeight}, {"offset"}, {"bias", Role::kBias, true}, {"mask", Role::kActivation, true}},
       .outputs = {{"y"}},
       .attrs = std::move(attrs),
       .infer = infer,
       .run = run,
       .quant = QuantRule::keep_float("it interpolates at computed places"),
       .axes = axes_none,
       .cost = cost,
       .spellings = {onnx("DeformConv", 19)},
       .samples = samples});
}

}  // namespace amct
