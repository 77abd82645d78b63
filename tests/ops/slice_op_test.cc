#include <limits>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::vector<float> slice_of_ten(int64_t start, int64_t end, int64_t step) {
  return values_of<float>(run_op("slice", {iota({10}), ints({start}), ints({end}), ints({0}), ints({step})}));
}

TEST(Slice, FollowsNumpy) {  // numbers from numpy: np.arange(10)[start:end:step]
  EXPECT_EQ(slice_of_ten(2, 7, 2), (std::vector<float>{2, 4, 6}));
  EXPECT_EQ(slice_of_ten(-3, kMax, 1), (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(slice_of_ten(-100, 100, 4), (std::vector<float>{0, 4, 8}));
  EXPECT_EQ(slice_of_ten(-1, kMin, -3), (std::vector<float>{9, 6, 3, 0}));
  EXPECT_EQ(slice_of_ten(100, 0, -4), (std::vector<float>{9, 5, 1}));
  EXPECT_EQ(slice_of_ten(4, -20, -1), (std::vector<float>{4, 3, 2, 1, 0}));
  EXPECT_EQ(slice_of_ten(3, -1, -1), std::vector<float>{});
  EXPECT_EQ(slice_of_ten(5, 5, 1), std::vector<float>{});
  EXPECT_EQ(slice_of_ten(1, kMax, kMax), (std::vector<float>{1}));
  EXPECT_EQ(slice_of_ten(8, kMin, kMin), (std::vector<float>{8}));
}

TEST(Slice, SeveralAxes) {
  const Tensor out = run_op("slice", {iota({3, 4, 5}), ints({-1, 1}), ints({-4, 4}), ints({-1, 0}), ints({-2, 1})});
  EXPECT_EQ(out.dims(), (Dims{2, 4, 2}));
  EXPECT_EQ(values_of<float>(out),
            (std::vector<float>{24, 22, 29, 27, 34, 32, 39, 37, 44, 42, 49, 47, 54, 52, 59, 57}));
}

TEST(Slice, SymbolicDims) {
  const Shape images({Dim::named("N"), 8, Dim(), 6});
  EXPECT_EQ(infer_shape("slice", {images, Shape::of({1}), Shape::of({1}), Shape::of({1})},
                        {{}, ints({2}), ints({5}), ints({1})}),
            Shape({Dim::named("N"), 3, Dim(), 6}));
  EXPECT_EQ(infer_shape("slice", {images, Shape::of({1}), Shape::of({1})}, {{}, ints({0}), ints({kMax})}), images);
}

TEST(Slice, Faults) {
  EXPECT_ERROR(slice_of_ten(0, 1, 0), "step of 0");
  EXPECT_ERROR(run_op("slice", {iota({3, 3}), ints({0, 0}), ints({1})}), "starts, ends, axes and steps");
  EXPECT_ERROR(run_op("slice", {iota({3}), ints({0}), ints({1}), ints({1})}), "out of range");
}

TEST(Slice, ChannelsLast) {
  expect_follows_layout("slice", {iota({2, 7, 4, 5}), ints({5, 1}), ints({0, 4}), ints({1, 3}), ints({-2, 1})});
}

TEST(Slice, TiesTheSpanWithItsOffset) {
  const auto relations = relations_of("slice", {iota({2, 9, 3}), ints({2}), ints({6}), ints({1})});
  ASSERT_EQ(relations.size(), 5u);  // two other axes; before, inside, behind
  EXPECT_EQ(relations[2].channels, 2);
  EXPECT_EQ(relations[2].refs.size(), 1u);
  EXPECT_EQ(relations[3].channels, 4);
  EXPECT_EQ(relations[3].refs[0].offset, 2);
  EXPECT_EQ(relations[3].refs[1].offset, 0);
  EXPECT_EQ(relations[4].refs[0].offset, 6);
}

TEST(Concat, JoinsAlongAnyAxis) {
  const Tensor out = run_op("concat", {iota({2, 1, 2}), iota({2, 2, 2})}, {{"axis", int64_t{-2}}});
  EXPECT_EQ(out.dims(), (Dims{2, 3, 2}));
  EXPECT_EQ(values_of<float>(out), (std::vector<float>{0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7}));
  expect_follows_layout("concat", {iota({2, 3, 4, 5}), iota({2, 1, 4, 5})}, {{"axis", int64_t{1}}}, 2);
  expect_follows_layout("concat", {iota({2, 3, 4, 5}), iota({2, 3, 4, 2})}, {{"axis", int64_t{3}}}, 2);
}

TEST(Concat, Faults) {
  EXPECT_ERROR(run_op("concat", {iota({2, 3}), iota({3, 3})}, {{"axis", int64_t{1}}}), "does not fit the others");
  EXPECT_ERROR(run_op("concat", {iota({2, 3}), iota({2})}, {{"axis", int64_t{1}}}), "others have rank 2");
  EXPECT_ERROR(run_op("concat", {iota({2}), iota({2}, DType::kInt8)}, {{"axis", int64_t{0}}}),
               "different types: float32 and int8");
  EXPECT_ERROR(run_op("concat", {iota({2})}), "'axis' is missing");
}

TEST(Split, SizesUnevenAndEven) {
  const auto sized = run_all("split", {iota({2, 5}), ints({1, 0, 4})}, {{"axis", int64_t{1}}}, 3);
  EXPECT_EQ(values_of<float>(sized[0]), (std::vector<float>{0, 5}));
  EXPECT_EQ(sized[1].dims(), (Dims{2, 0}));
  EXPECT_EQ(values_of<float>(sized[2]), (std::vector<float>{1, 2, 3, 4, 6, 7, 8, 9}));
  const auto uneven = run_all("split", {iota({7})}, {{"num_outputs", int64_t{3}}}, 3);
  EXPECT_EQ(values_of<float>(uneven[1]), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(values_of<float>(uneven[2]), (std::vector<float>{6}));
  EXPECT_EQ(run_all("split", {iota({6})}, {}, 3)[2].dims(), (Dims{2}));
  expect_follows_layout("split", {iota({2, 7, 3, 4}), ints({3, 4})}, {{"axis", int64_t{1}}}, 1, 2);
}

TEST(Split, Faults) {
  EXPECT_ERROR(run_all("split", {iota({7})}, {}, 3), "7 elements cannot be cut into 3 parts");
  EXPECT_ERROR(run_all("split", {iota({7}), ints({3, 3})}, {}, 2), "split [3, 3] does not cut 7 elements");
  EXPECT_ERROR(run_all("split", {iota({7}), ints({8, -1})}, {}, 2), "not valid");
  EXPECT_ERROR(run_all("split", {iota({7})}, {{"num_outputs", int64_t{4}}}, 3), "num_outputs is 4");
}

}  // namespace
}  // namespace amct::testing
