#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

std::vector<float> cum_sum(int64_t axis, int64_t exclusive, int64_t reverse) {
  return values_of<float>(run_op("cum_sum", {floats({2, 3}, {1, 2, 3, 4, 5, 6}), Tensor::scalar(axis)},
                                 {{"exclusive", exclusive}, {"reverse", reverse}}));
}

TEST(CumSum, DirectionsAndExclusion) {
  EXPECT_EQ(cum_sum(1, 0, 0), (std::vector<float>{1, 3, 6, 4, 9, 15}));
  EXPECT_EQ(cum_sum(-1, 1, 0), (std::vector<float>{0, 1, 3, 0, 4, 9}));
  EXPECT_EQ(cum_sum(1, 0, 1), (std::vector<float>{6, 5, 3, 15, 11, 6}));
  EXPECT_EQ(cum_sum(0, 1, 1), (std::vector<float>{4, 5, 6, 0, 0, 0}));
  const Tensor big = Tensor::of<int64_t>({2}, {std::numeric_limits<int64_t>::max(), 1});
  EXPECT_EQ(values_of<int64_t>(run_op("cum_sum", {big, Tensor::scalar<int64_t>(0)}))[1],
            std::numeric_limits<int64_t>::min());
  EXPECT_ERROR(cum_sum(2, 0, 0), "out of range");
}

TEST(ReverseSequence, TurnsPrefixesAround) {
  const Attrs batch_first{{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}};
  EXPECT_EQ(values_of<float>(run_op("reverse_sequence", {iota({2, 4}), ints({3, 1})}, batch_first)),
            (std::vector<float>{2, 1, 0, 3, 4, 5, 6, 7}));
  EXPECT_EQ(values_of<float>(run_op("reverse_sequence", {iota({3, 2, 2}), ints({3, 0})})),
            (std::vector<float>{8, 9, 2, 3, 4, 5, 6, 7, 0, 1, 10, 11}));
  EXPECT_ERROR(run_op("reverse_sequence", {iota({2, 4}), ints({5, 1})}, batch_first), "a sequence of 5");
  EXPECT_ERROR(run_op("reverse_sequence", {iota({2, 4}), ints({1})}, batch_first), "do not fit a batch of 2");
  EXPECT_ERROR(run_op("reverse_sequence", {iota({2, 4}), ints({1, 1})}, {{"batch_axis", int64_t{2}}}), "batch_axis 2");
}

TEST(ArgMax, TiesNanAndInnerAxes) {
  const Tensor ties = floats({2, 4}, {2, 5, 5, 1, -3, -3, -4, -4});
  const auto arg = [&](const char* op, int64_t last) {
    return run_op(op, {ties}, {{"axis", int64_t{1}}, {"select_last_index", last}}).to_int64s();
  };
  EXPECT_EQ(arg("arg_max", 0), (Ints{1, 0}));
  EXPECT_EQ(arg("arg_max", 1), (Ints{2, 1}));
  EXPECT_EQ(arg("arg_min", 0), (Ints{3, 2}));
  EXPECT_EQ(arg("arg_min", 1), (Ints{3, 3}));
  EXPECT_EQ(run_op("arg_max", {floats({2, 2}, {1, 9, 8, 2})}).to_int64s(), (Ints{1, 0}));
  EXPECT_EQ(run_op("arg_max", {floats({3}, {1, std::nanf(""), 9})}).to_int64s(), (Ints{1}));
  EXPECT_EQ(run_op("arg_max", {floats({2, 2}, {1, 9, 8, 2})}, {{"keepdims", int64_t{0}}}).dims(), (Dims{2}));
  EXPECT_ERROR(run_op("arg_max", {floats({2, 0}, {})}, {{"axis", int64_t{1}}}), "empty axis");
}

TEST(TopK, AgainstFullSort) {
  std::mt19937 random(23);
  for (int round = 0; round < 30; ++round) {
    const int64_t extent = 1 + static_cast<int64_t>(random() % 9);
    const int64_t k = static_cast<int64_t>(random() % static_cast<uint32_t>(extent + 1));
    const bool largest = round % 2 == 0;
    Ints numbers(static_cast<size_t>(extent * 6));
    for (int64_t& number : numbers) number = static_cast<int64_t>(random() % 5);
    const Tensor in = Tensor::of<int64_t>({2, extent, 3}, numbers);
    const auto out = run_all("top_k", {in, ints({k})}, {{"axis", int64_t{1}}, {"largest", int64_t{largest}}}, 2);
    ASSERT_EQ(out[1].dims(), (Dims{2, k, 3}));
    for (int64_t o = 0; o < 2; ++o) {
      for (int64_t i = 0; i < 3; ++i) {
        std::vector<std::pair<int64_t, int64_t>> order;  // key, position
        for (int64_t e = 0; e < extent; ++e) {
          const int64_t value = numbers[static_cast<size_t>((o * extent + e) * 3 + i)];
          order.emplace_back(largest ? -value : value, e);
        }
        std::sort(order.begin(), order.end());
        for (int64_t rank = 0; rank < k; ++rank) {
          const auto at = static_cast<size_t>((o * k + rank) * 3 + i);
          const auto& [key, position] = order[static_cast<size_t>(rank)];
          ASSERT_EQ(out[1].values<int64_t>()[at], position) << "round " << round;
          ASSERT_EQ(out[0].values<int64_t>()[at], largest ? -key : key);
        }
      }
    }
  }
  EXPECT_ERROR(run_op("top_k", {iota({3}), ints({4})}), "the 4 largest of 3 elements");
  EXPECT_ERROR(run_op("top_k", {iota({3}), ints({-1})}), "k [-1]");
}

TEST(EyeLike, Diagonals) {
  EXPECT_EQ(run_op("eye_like", {iota({2, 3})}, {{"k", int64_t{1}}}).to_int64s(), (Ints{0, 1, 0, 0, 0, 1}));
  const Tensor out = run_op("eye_like", {iota({3, 2})}, {{"k", int64_t{-1}}, {"dtype", int64_t{7}}});
  EXPECT_EQ(out.dtype(), DType::kInt64);
  EXPECT_EQ(values_of<int64_t>(out), (Ints{0, 0, 1, 0, 0, 1}));
  EXPECT_EQ(run_op("eye_like", {iota({2, 2})}, {{"k", std::numeric_limits<int64_t>::max()}}).to_int64s(),
            (Ints{0, 0, 0, 0}));
  EXPECT_ERROR(run_op("eye_like", {iota({2})}), "is not a matrix");
  EXPECT_ERROR(run_op("eye_like", {iota({2, 2})}, {{"dtype", int64_t{99}}}), "dtype 99");
}

}  // namespace
}  // namespace amct::testing
