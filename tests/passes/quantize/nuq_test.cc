// Non-uniform weights: the dynamic program against trying everything, and against k-means from many starts.
#include "passes/quantize/nuq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "passes/quantize/integer_constants.h"

namespace amct {
namespace {

using Mass = std::array<double, 256>;

double loss(const Mass& mass, const std::vector<int>& clusters) {
  double sum = 0;
  for (int q = -128; q < 128; ++q) {
    int nearest = std::numeric_limits<int>::max();
    for (const int c : clusters) nearest = std::min(nearest, std::abs(q - c));
    sum += mass[q + 128] * nearest * nearest;
  }
  return sum;
}

Mass normal_mass(unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(3.0 * (seed % 3), 20 + 5.0 * seed);
  Mass mass{};
  for (int i = 0; i < 5000; ++i) {
    ++mass[std::clamp(static_cast<int>(std::nearbyint(normal(random))), -128, 127) + 128];
  }
  return mass;
}

// Lloyd's iteration from `clusters`, centres rounded to integers.
std::vector<int> k_means(const Mass& mass, std::vector<int> clusters) {
  for (int round = 0; round < 100; ++round) {
    std::vector<double> sum(clusters.size(), 0.0), weight(clusters.size(), 0.0);
    for (int q = -128; q < 128; ++q) {
      size_t best = 0;
      for (size_t c = 0; c < clusters.size(); ++c) {
        if (std::abs(q - clusters[c]) < std::abs(q - clusters[best])) best = c;
      }
      sum[best] += mass[q + 128] * q;
      weight[best] += mass[q + 128];
    }
    for (size_t c = 0; c < clusters.size(); ++c) {
      if (weight[c] > 0) clusters[c] = static_cast<int>(std::nearbyint(sum[c] / weight[c]));
    }
  }
  return clusters;
}

TEST(NuqTest, IsTheOptimumOfAllChoices) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    Mass mass{};  // eleven integers occur; three values are to be chosen between them
    std::vector<int> places;
    for (int i = 0; i < 11; ++i) places.push_back(static_cast<int>(random() % 30) - 15);
    for (const int place : places) mass[place + 128] += 1 + random() % 9;
    double least = std::numeric_limits<double>::infinity();
    for (int a = -15; a < 15; ++a) {
      for (int b = a + 1; b < 15; ++b) {
        for (int c = b + 1; c < 15; ++c) least = std::min(least, loss(mass, {a, b, c}));
      }
    }
    EXPECT_DOUBLE_EQ(loss(mass, optimal_clusters(mass, 3)), least) << "round " << round;
  }
}

TEST(NuqTest, IsNotWorseThanKMeans) {
  double best_ratio = 1;
  for (unsigned seed = 1; seed <= 6; ++seed) {
    const Mass mass = normal_mass(seed);
    for (const int steps : {16, 32}) {
      const std::vector<int> clusters = optimal_clusters(mass, steps);
      ASSERT_EQ(clusters.size(), static_cast<size_t>(steps));
      EXPECT_EQ(std::ranges::adjacent_find(clusters, std::greater_equal<>()), clusters.end());
      const double ours = loss(mass, clusters);
      std::mt19937 random(seed);
      for (int start = 0; start < 10; ++start) {
        std::vector<int> from;
        for (int i = 0; i < steps; ++i) from.push_back(static_cast<int>(random() % 256) - 128);
        const double theirs = loss(mass, k_means(mass, from));
        EXPECT_LE(ours, theirs * (1 + 1e-12)) << "seed " << seed << " steps " << steps;
        best_ratio = std::min(best_ratio, ours / theirs);
      }
    }
  }
  EXPECT_LT(best_ratio, 0.9);  // k-means does get stuck
}

TEST(NuqTest, ErrorsCountByTheSquareOfTheScale) {
  // Channel 0 (scale 1) holds -100 and 100, channel 1 (scale 100) holds 0..29: only two of 16 clusters can go to
  // channel 0 without hurting channel 1 more.
  std::vector<float> values;
  for (int i = 0; i < 30; ++i) values.push_back(i % 2 == 0 ? -100.0f - i : 60.0f + i);
  for (int i = 0; i < 30; ++i) values.push_back(100.0f * i);
  const Tensor weights = Tensor::of<float>({2, 30}, values);
  WeightPlan plan{.per_channel = true, .steps = 16, .scales = {1, 100}};
  plan.clusters = nuq_clusters(weights, plan, 0);
  EXPECT_GE(std::ranges::count_if(plan.clusters, [](int c) { return c >= 0 && c < 30; }), 13);
  const Tensor clustered = integer_weights(weights, plan, 0);
  for (const int8_t q : clustered.values<int8_t>()) {
    EXPECT_NE(std::ranges::find(plan.clusters, q), plan.clusters.end());
  }
}

TEST(NuqTest, ErrorsCountByImportance) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 30);
  std::vector<float> values(21 * 17);
  for (float& value : values) value = normal(random);
  const Tensor weights = Tensor::of<float>({21, 17}, values);
  WeightPlan plan{.per_channel = false, .steps = 16, .scales = {0.9f}};
  const auto importance = [](int64_t element) { return element % 17 < 3 ? 50.0 : 0.2; };  // by column
  const Tensor integers = integer_weights(weights, plan, 0);
  Mass mass{};
  for (int64_t i = 0; i < weights.size(); ++i) mass[integers.values<int8_t>()[i] + 128] += importance(i);
  const std::vector<int> plain = nuq_clusters(weights, plan, 0), weighted = nuq_clusters(weights, plan, 0, importance);
  EXPECT_EQ(weighted, optimal_clusters(mass, 16));
  EXPECT_LT(loss(mass, weighted), 0.8 * loss(mass, plain));
  EXPECT_EQ(nuq_clusters(weights, plan, 0, [](int64_t) { return 3.0; }), plain);
}

TEST(NuqTest, NearestClusterAndEntropy) {
  const std::vector<int> clusters = {-10, 0, 3, 100};
  EXPECT_EQ(nearest_cluster(clusters, -128), -10);
  EXPECT_EQ(nearest_cluster(clusters, -5), -10);  // as near to 0: the smaller one
  EXPECT_EQ(nearest_cluster(clusters, 2), 3);
  EXPECT_EQ(nearest_cluster(clusters, 127), 100);
  EXPECT_DOUBLE_EQ(entropy_coded_bytes(std::vector<int8_t>{1, 1, 2, 2, 3, 3, 4, 4}), 2);
  EXPECT_DOUBLE_EQ(entropy_coded_bytes(std::vector<int8_t>(17, 5)), 0);
}

}  // namespace
}  // namespace amct
