#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/index/strided.h"
#include "ops/movement_support.h"

namespace amct::testing {
namespace {

double naive(const std::string& op, const std::vector<double>& values) {
  double sum = 0, l1 = 0, square = 0, product = 1, exponentials = 0;
  for (const double v : values) {
    sum += v;
    l1 += std::abs(v);
    square += v * v;
    product *= v;
    exponentials += std::exp(v);
  }
  if (op == "reduce_sum") return sum;
  if (op == "reduce_mean") return sum / static_cast<double>(values.size());
  if (op == "reduce_max") return *std::max_element(values.begin(), values.end());
  if (op == "reduce_min") return *std::min_element(values.begin(), values.end());
  if (op == "reduce_prod") return product;
  if (op == "reduce_l1") return l1;
  if (op == "reduce_l2") return std::sqrt(square);
  if (op == "reduce_log_sum") return std::log(sum);
  if (op == "reduce_log_sum_exp") return std::log(exponentials);
  return square;
}

const char* const kOps[] = {"reduce_sum", "reduce_mean", "reduce_max",     "reduce_min",         "reduce_prod",
                            "reduce_l1",  "reduce_l2",   "reduce_log_sum", "reduce_log_sum_exp", "reduce_sum_square"};

TEST(Reduce, AgainstNaiveLoopOverAllAxisSets) {
  std::mt19937 random(11);
  for (int round = 0; round < 120; ++round) {
    const size_t rank = 1 + random() % 4;
    Dims dims(rank);
    for (int64_t& extent : dims) extent = 1 + static_cast<int64_t>(random() % (round % 7 == 0 ? 40 : 6));
    Ints axes;
    std::vector<bool> reduced(rank, false);
    for (size_t i = 0; i < rank; ++i) {
      if (random() % 2 == 0) continue;
      reduced[i] = true;
      axes.push_back(static_cast<int64_t>(i) - (random() % 2 == 0 ? static_cast<int64_t>(rank) : 0));
    }
    const std::string op = kOps[round % 10];
    const DType dtype = round % 3 == 0 ? DType::kFloat64 : round % 3 == 1 ? DType::kFloat32 : DType::kFloat16;
    const Tensor in = uniform(dims, random).cast(dtype);
    const Attrs attrs{{"keepdims", int64_t{round % 2}}, {"noop_with_empty_axes", int64_t{1}}};
    const Tensor out = run_op(op, {in, ints(axes)}, attrs);
    std::vector<std::vector<double>> parts(static_cast<size_t>(out.size()));
    const Dims strides = row_major_strides(dims);
    const auto values = in.to_doubles();
    for (int64_t flat = 0; flat < in.size(); ++flat) {
      int64_t at = 0;
      for (size_t i = 0; i < rank; ++i) {
        if (!reduced[i]) at = at * dims[i] + flat / strides[i] % dims[i];
      }
      parts[static_cast<size_t>(at)].push_back(values[static_cast<size_t>(flat)]);
    }
    const auto actual = out.to_doubles();
    const double tolerance = dtype == DType::kFloat64 ? 1e-12 : dtype == DType::kFloat32 ? 2e-6 : 2e-3;
    for (size_t i = 0; i < parts.size(); ++i) {
      const double expected = naive(op, parts[i]);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(actual[i]));
      } else {
        ASSERT_NEAR(actual[i], expected, tolerance * std::max(1.0, std::abs(expected)))
            << op << " of " << to_string(dims) << " over " << to_string(axes) << " round " << round;
      }
    }
  }
}

TEST(Reduce, MeanOverImagesIsExactEnoughInBothLayouts) {
  std::mt19937 random(3);
  const Tensor in = uniform({2, 37, 61, 67}, random);
  const Tensor out = run_op("reduce_mean", {in, ints({2, 3})});
  const auto values = in.to_doubles();
  for (size_t row = 0; row < 74; ++row) {
    double sum = 0;
    for (size_t i = 0; i < 61 * 67; ++i) sum += values[row * 61 * 67 + i];
    ASSERT_NEAR(out.values<float>()[row], sum / (61 * 67), 1e-7);
  }
  expect_follows_layout("reduce_mean", {in, ints({2, 3})});
  for (const Ints& axes : {Ints{1}, Ints{2}, Ints{0}, Ints{2, 3}, Ints{0, 1}, Ints{1, 3}}) {
    const Tensor small = uniform({2, 3, 4, 5}, random);
    expect_follows_layout("reduce_sum", {small, ints(axes)}, {{"keepdims", int64_t{1}}});
    expect_follows_layout("reduce_sum", {small, ints(axes)}, {{"keepdims", int64_t{0}}});
  }
}

TEST(Reduce, IntegersAndTruthValues) {
  const Tensor in = Tensor::of<int32_t>({2, 3}, {1, -2, 3, 4, 5, -7});
  EXPECT_EQ(values_of<int32_t>(run_op("reduce_sum", {in, ints({1})})), (std::vector<int32_t>{2, 2}));
  EXPECT_EQ(values_of<int32_t>(run_op("reduce_l1", {in, ints({1})})), (std::vector<int32_t>{6, 16}));
  EXPECT_EQ(values_of<int32_t>(run_op("reduce_prod", {in, ints({1})})), (std::vector<int32_t>{-6, -140}));
  EXPECT_EQ(values_of<int32_t>(run_op("reduce_min", {in, ints({0})})), (std::vector<int32_t>{1, -2, -7}));
  EXPECT_EQ(values_of<int32_t>(run_op("reduce_l2", {Tensor::of<int32_t>({2}, {3, 4})})), (std::vector<int32_t>{5}));
  const Tensor big = Tensor::of<uint64_t>({2}, {std::numeric_limits<uint64_t>::max(), 2});
  EXPECT_EQ(values_of<uint64_t>(run_op("reduce_sum", {big})), (std::vector<uint64_t>{1}));
  EXPECT_EQ(values_of<uint64_t>(run_op("reduce_max", {big})), (std::vector<uint64_t>{~uint64_t{0}}));
  const Tensor flags = Tensor::of<uint8_t>({2, 2}, {1, 0, 0, 0}).cast(DType::kBool);
  EXPECT_EQ(run_op("reduce_max", {flags, ints({1})}).to_int64s(), (Ints{1, 0}));
}

TEST(Reduce, OverNothingAndSpecialNumbers) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor empty = floats({2, 0}, {});
  EXPECT_EQ(values_of<float>(run_op("reduce_sum", {empty, ints({1})})), (std::vector<float>{0, 0}));
  EXPECT_EQ(values_of<float>(run_op("reduce_prod", {empty, ints({1})})), (std::vector<float>{1, 1}));
  EXPECT_EQ(values_of<float>(run_op("reduce_max", {empty, ints({1})})), (std::vector<float>{-inf, -inf}));
  EXPECT_EQ(values_of<float>(run_op("reduce_log_sum_exp", {empty, ints({1})})), (std::vector<float>{-inf, -inf}));
  EXPECT_TRUE(std::isnan(run_op("reduce_max", {floats({3}, {1, std::nanf(""), 2})}).values<float>()[0]));
  EXPECT_EQ(run_op("reduce_log_sum_exp", {floats({2}, {1000, 1000})}).values<float>()[0], 1000 + std::log(2.0f));
  EXPECT_EQ(run_op("reduce_log_sum_exp", {floats({2}, {-inf, -inf})}).values<float>()[0], -inf);
  EXPECT_EQ(run_op("reduce_sum", {floats({}, {3})}).dims(), Dims{});
}

TEST(Reduce, ShapesAndFaults) {
  const Shape images({Dim::named("N"), 8, Dim(), 6});
  const Attrs dropped{{"keepdims", int64_t{0}}};
  EXPECT_EQ(infer_shape("reduce_mean", {images, Shape::of({2})}, {{}, ints({2, -1})}, dropped),
            Shape({Dim::named("N"), 8}));
  EXPECT_EQ(infer_shape("reduce_mean", {images, Shape::of({2})}, {{}, ints({2, -1})}),
            Shape({Dim::named("N"), 8, 1, 1}));
  EXPECT_EQ(infer_shape("reduce_mean", {images, Shape::of({1})}, {}), Shape::of_rank(4));
  EXPECT_ERROR(run_op("reduce_sum", {iota({2, 3}), ints({2})}), "axis 2 is out of range");
  EXPECT_ERROR(run_op("reduce_sum", {iota({2, 3}), ints({1, -1})}), "given twice");
}

TEST(Reduce, Relations) {
  const auto sums = relations_of("reduce_sum", {iota({2, 5, 3}), ints({1})}, {{"keepdims", int64_t{0}}});
  ASSERT_EQ(sums.size(), 3u);
  EXPECT_EQ(sums[1].kind, AxisRelation::Kind::kFree);
  EXPECT_EQ(sums[2].refs[1].axis, 1u);
  EXPECT_EQ(relations_of("reduce_mean", {iota({2, 5, 3}), ints({1})})[1].kind, AxisRelation::Kind::kLock);
}

}  // namespace
}  // namespace amct::testing
