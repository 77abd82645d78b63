// AffineGrid: the places that an affine map sends the pixels of an image or a volume to, as GridSample reads them.
//
// Pixel i of an axis of extent d lies at -1 + 2 i / (d - 1) with align_corners (-1 if d is 1), else at
// (2 i + 1) / d - 1. The result of pixel (…, y, x) is theta (x, y, …, 1): innermost axis first.
#include <fmt/core.h>

#include <array>

#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  expect_type(c, 0, is_float_type);
  const Shape& theta = c.shape(0);
  if (theta.ranked() && theta.rank() != 3) c.fail(fmt::format("its map has rank {}; 3 is needed", theta.rank()));
  const auto size = c.ints(1);
  std::optional<size_t> axes;
  if (size) {
    if (size->size() != 4 && size->size() != 5)
      c.fail(fmt::format("its size has {} entries; 4 or 5 are needed", size->size()));
    axes = size->size() - 2;
    for (const int64_t extent : *size) {
      if (extent < 0) c.fail(fmt::format("its size has the extent {}", extent));
    }
  }
  if (theta.ranked() && theta[1].is_fixed() && theta[2].is_fixed()) {
    const int64_t rows = theta[1].extent();
    const bool known = (rows == 2 || rows == 3) && theta[2].extent() == rows + 1;
    if (!known || (axes && *axes != static_cast<size_t>(rows))) {
      c.fail(fmt::format("its map has shape {}; (N, 2, 3) for images and (N, 3, 4) for volumes are known",
                         theta.to_string()));
    }
    axes = static_cast<size_t>(rows);
  }
  if (!axes) return c.set_output(0, c.dtype(0), Shape());
  Shape y = Shape::of_rank(*axes + 2);
  if (theta.ranked()) y[0] = theta[0];
  if (size && theta.ranked() && theta[0].is_fixed() && theta[0].extent() != (*size)[0]) {
    c.fail(fmt::format("its size is for a batch of {}, its map {} for another", (*size)[0], theta.to_string()));
  }
  for (size_t axis = 0; size && axis <= *axes; ++axis) y[axis == 0 ? 0 : axis] = (*size)[axis == 0 ? 0 : axis + 1];
  y[*axes + 1] = static_cast<int64_t>(*axes);
  c.set_output(0, c.dtype(0), std::move(y));
}

double place(int64_t index, int64_t extent, bool align_corners) {
  const auto i = static_cast<double>(index), d = static_cast<double>(extent);
  if (!align_corners) return (2 * i + 1) / d - 1;
  return extent == 1 ? -1 : -1 + 2 * i / (d - 1);
}

void run(RunContext& c) {
  const Dims& y = c.output(0).dims;
  const bool align = attr_int(c.node(), "align_corners") != 0;
  const auto axes = static_cast<int64_t>(y.size()) - 2;
  const int64_t pixels = y[0] == 0 ? 0 : c.output(0).size() / (y[0] * axes);
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    T* to = c.output(0).as<T>();
    for (int64_t index = 0; index < y[0] * pixels; ++index) {
      std::array<double, 4> at{};  // innermost first, then 1
      int64_t rest = index % pixels;
      for (int64_t axis = axes; axis-- > 0;) {
        const int64_t extent = y[static_cast<size_t>(axis) + 1];
        at[static_cast<size_t>(axes - 1 - axis)] = place(rest % extent, extent, align);
        rest /= extent;
      }
      at[static_cast<size_t>(axes)] = 1;
      const T* theta = c.input(0).as<T>() + index / pixels * axes * (axes + 1);
      for (int64_t row = 0; row < axes; ++row) {
        double sum = 0;
        for (int64_t i = 0; i <= axes; ++i) {
          sum += static_cast<double>(static_cast<Compute<T>>(theta[row * (axes + 1) + i])) * at[static_cast<size_t>(i)];
        }
        *to++ = static_cast<T>(static_cast<Compute<T>>(sum));
      }
    }
  });
}

std::vector<Sample> samples() {
  return {
      {.name = "image", .inputs = {random_input({2, 2, 3}), fixed_ints({2, 3, 5, 7})}},
      {.name = "image_aligned",
       .inputs = {random_input({1, 2, 3}), fixed_ints({1, 1, 4, 3})},
       .attrs = {{"align_corners", int64_t{1}}}},
      {.name = "volume", .inputs = {random_input({2, 3, 4}), fixed_ints({2, 1, 3, 5, 4})}},
      {.name = "volume_aligned",
       .inputs = {random_input({1, 3, 4}), fixed_ints({1, 2, 3, 2, 5})},
       .attrs = {{"align_corners", int64_t{1}}}},
  };
}

}  // namespace

void add_affine_grid_op(OpTable& table) {
  table.add({.name = "affine_grid",
             .doc = "The places that an affine map sends the pixels of an image or a volume to.",
             .inputs = {{"theta"}, shape_port("size")},
             .outputs = {{"grid"}},
             .attrs = {int_attr("align_corners", 0)},
             .infer = infer,
             .timing = ShapeTiming::kFromValues,
             .run = run,
             .quant = QuantRule::keep_float("its results are places, not values"),
             .axes = axes_none,
             .spellings = {onnx("AffineGrid", 20)},
             .samples = samples});
}

}  // namespace amct
