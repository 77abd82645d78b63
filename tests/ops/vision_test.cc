// What the samples of the vision operators cannot say: faulty nodes, hostile numbers, chosen values.
#include <cmath>
#include <limits>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

TEST(GridSample, FarPlacesAndNan) {
  const Tensor x = floats({1, 1, 1, 3}, {1, 2, 3});
  const Tensor grid = floats({1, 1, 4, 2}, {kNan, 0, kInfinity, 0, -1e30f, 0, 1, 0});
  const auto sample = [&](const char* mode, const char* padding) {
    return values_of<float>(
        run_op("grid_sample", {x, grid},
               {{"mode", std::string(mode)}, {"padding_mode", std::string(padding)}, {"align_corners", int64_t{1}}}));
  };
  EXPECT_EQ(sample("linear", "zeros"), (std::vector<float>{0, 0, 0, 3}));
  EXPECT_EQ(sample("nearest", "border"), (std::vector<float>{1, 3, 1, 3}));
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    for (const float value : sample(mode, "reflection")) EXPECT_TRUE(std::isfinite(value)) << mode;
  }
}

TEST(GridSample, EmptyImageReadsZero) {
  const Tensor y = run_op("grid_sample", {floats({1, 2, 0, 3}, {}), floats({1, 1, 1, 2}, {0, 0})},
                          {{"padding_mode", std::string("border")}});
  EXPECT_EQ(values_of<float>(y), (std::vector<float>{0, 0}));
}

TEST(GridSample, RefusesFaultyNodes) {
  const Tensor x = iota({1, 1, 2, 3});
  const Tensor grid = floats({1, 1, 1, 2}, {0, 0});
  EXPECT_ERROR(run_op("grid_sample", {x, grid}, {{"mode", std::string("bilinear")}}), "attribute 'mode'");
  EXPECT_ERROR(run_op("grid_sample", {x, grid}, {{"padding_mode", std::string("wrap")}}), "attribute 'padding_mode'");
  EXPECT_ERROR(run_op("grid_sample", {x, floats({1, 1, 1, 3}, {0, 0, 0})}), "must have 2 places");
  EXPECT_ERROR(run_op("grid_sample", {x, floats({1, 1, 2}, {0, 0})}), "has rank 3");
  EXPECT_ERROR(run_op("grid_sample", {x, floats({2, 1, 1, 2}, {0, 0, 0, 0})}), "another batch");
  EXPECT_ERROR(run_op("grid_sample", {x, ints({1, 2})}), "int64");
}

TEST(AffineGrid, RefusesFaultyNodes) {
  const Tensor theta = iota({1, 2, 3});
  EXPECT_ERROR(run_op("affine_grid", {theta, ints({1, 1, 2})}), "3 entries");
  EXPECT_ERROR(run_op("affine_grid", {theta, ints({2, 1, 2, 2})}), "batch of 2");
  EXPECT_ERROR(run_op("affine_grid", {theta, ints({1, 1, 2, -2})}), "extent -2");
  EXPECT_ERROR(run_op("affine_grid", {theta, ints({1, 1, 2, 2, 2})}), "its map has shape");
}

TEST(NonMaxSuppression, EqualScoresKeepTheirOrder) {
  const Tensor boxes = floats({1, 3, 4}, {0, 0, 1, 1, 5, 5, 6, 6, 0, 0, 1, 1.1f});
  const Tensor scores = floats({1, 1, 3}, {0.5f, 0.5f, 0.5f});
  const Tensor result = run_op("non_max_suppression", {boxes, scores, ints({9}), floats({1}, {0.5f})});
  EXPECT_EQ(result.to_int64s(), (Ints{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(run_op("non_max_suppression", {boxes, scores}).dims(), (Dims{0, 3}));
}

TEST(NonMaxSuppression, RefusesFaultyNodes) {
  const Tensor boxes = iota({1, 2, 4});
  const Tensor scores = iota({1, 1, 2});
  EXPECT_ERROR(run_op("non_max_suppression", {boxes, iota({1, 1, 3})}), "do not fit");
  EXPECT_ERROR(run_op("non_max_suppression", {iota({1, 2, 3}), scores}), "4 entries");
  EXPECT_ERROR(run_op("non_max_suppression", {boxes, scores, ints({1, 2})}), "a single one is needed");
  EXPECT_ERROR(run_op("non_max_suppression", {boxes, scores, ints({1}), floats({1}, {2})}), "iou_threshold is 2");
}

TEST(RoiAlign, RefusesFaultyNodes) {
  const Tensor x = iota({1, 1, 4, 4});
  const Tensor rois = floats({1, 4}, {0, 0, 2, 2});
  EXPECT_ERROR(run_op("roi_align", {x, rois, ints({1})}), "a region is of image 1 of 1");
  EXPECT_ERROR(run_op("roi_align", {x, rois, ints({0, 0})}), "batch indices");
  EXPECT_ERROR(run_op("roi_align", {x, iota({1, 5}), ints({0})}), "(count, 4) is needed");
  EXPECT_ERROR(run_op("roi_align", {x, rois, ints({0})}, {{"mode", std::string("min")}}), "attribute 'mode'");
  EXPECT_ERROR(run_op("roi_align", {x, rois, ints({0})}, {{"output_width", int64_t{0}}}), "1 x 0 bins");
  EXPECT_ERROR(run_op("roi_align", {x, floats({1, 4}, {0, 0, 1e9f, 1e9f}), ints({0})}), "samples a bin");
  EXPECT_EQ(run_op("roi_align", {x, floats({1, 4}, {0, 0, kInfinity, kNan}), ints({0})}).size(), 1);
}

TEST(MaxRoiPool, RefusesFaultyNodes) {
  const Tensor x = iota({1, 1, 4, 4});
  EXPECT_ERROR(run_op("max_roi_pool", {x, floats({1, 5}, {3, 0, 0, 2, 2})}, {{"pooled_shape", Ints{2, 2}}}),
               "a region is of image 3 of 1");
  EXPECT_EQ(
      run_op("max_roi_pool", {x, floats({1, 5}, {0, kNan, 0, kInfinity, 2})}, {{"pooled_shape", Ints{1, 1}}}).size(),
      1);
  EXPECT_ERROR(run_op("max_roi_pool", {x, iota({1, 5})}, {{"pooled_shape", Ints{2}}}), "1 entries");
}

TEST(MaxUnpool, RefusesFaultyNodes) {
  const Tensor x = iota({1, 1, 2});
  const auto indices = [](int64_t a, int64_t b) { return Tensor::of<int64_t>({1, 1, 2}, {a, b}); };
  const Attrs attrs{{"kernel_shape", Ints{2}}, {"strides", Ints{2}}};
  EXPECT_ERROR(run_op("max_unpool", {x, indices(0, 4)}, attrs), "index 4 is outside");
  EXPECT_ERROR(run_op("max_unpool", {x, indices(0, -1)}, attrs), "index -1 is outside");
  EXPECT_ERROR(run_op("max_unpool", {x, indices(0, 1), ints({1, 1, 3})}, attrs), "is below");
  EXPECT_ERROR(run_op("max_unpool", {x, indices(0, 1)}, {{"kernel_shape", Ints{2, 2}}}), "its kernel needs 4");
  EXPECT_ERROR(run_op("max_unpool", {x, indices(0, 1)}, {{"kernel_shape", Ints{2}}, {"pads", Ints{9, 9}}}),
               "no extent");
}

TEST(DeformConv, RefusesFaultyNodes) {
  const Tensor x = iota({1, 2, 4, 4});
  const Tensor w = iota({1, 2, 2, 2});
  EXPECT_ERROR(run_op("deform_conv", {x, w, iota({1, 8, 3, 2})}), "[1, 8, 3, 3] is needed");
  EXPECT_ERROR(run_op("deform_conv", {x, w, iota({1, 8, 3, 3})}, {{"group", int64_t{3}}}), "3 groups do not fit");
  EXPECT_ERROR(run_op("deform_conv", {x, w, iota({1, 8, 3, 3})}, {{"offset_group", int64_t{3}}}), "3 offset groups");
  EXPECT_ERROR(run_op("deform_conv", {x, w, iota({1, 8, 3, 3}), iota({2})}), "input 3 has shape [2]");
}

}  // namespace
}  // namespace amct::testing
