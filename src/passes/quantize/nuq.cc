#include "passes/quantize/nuq.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "passes/quantize/integer_constants.h"

namespace amct {
namespace {

constexpr int kLevels = 256;
constexpr int kLowest = -128;

// Least weighted squared error of integers [first, last] to one integer between them, from prefix sums.
class GroupCost {
 public:
  explicit GroupCost(std::span<const double> mass) {
    for (size_t i = 0; i < kLevels; ++i) {
      const double x = static_cast<double>(i);
      mass_[i + 1] = mass_[i] + mass[i];
      first_[i + 1] = first_[i] + mass[i] * x;
      second_[i + 1] = second_[i] + mass[i] * x * x;
    }
  }

  // The integer nearest to the mean is best: the error is a parabola around the mean.
  int centre(int first, int last) const {
    const double m = mass_[last + 1] - mass_[first];
    if (!(m > 0)) return (first + last) / 2;
    const double mean = (first_[last + 1] - first_[first]) / m;
    return std::clamp(static_cast<int>(std::nearbyint(mean)), first, last);
  }

  double operator()(int first, int last) const {
    const double c = centre(first, last);
    const double m = mass_[last + 1] - mass_[first];
    const double s1 = first_[last + 1] - first_[first], s2 = second_[last + 1] - second_[first];
    return std::max(0.0, s2 - 2 * c * s1 + c * c * m);
  }

 private:
  std::array<double, kLevels + 1> mass_{}, first_{}, second_{};
};

}  // namespace

std::vector<int> optimal_clusters(std::span<const double> mass, int steps) {
  AMCT_CHECK(mass.size() == kLevels && steps > 0 && steps <= kLevels, "a mass for each of 256 integers");
  const GroupCost cost(mass);
  // least[k][v]: [0, v] in k + 1 groups; start[k][v]: where the last of them begins. A group holds at least one
  // integer, so the centres differ.
  std::vector<std::array<double, kLevels>> least(static_cast<size_t>(steps));
  std::vector<std::array<int, kLevels>> start(static_cast<size_t>(steps));
  for (int v = 0; v < kLevels; ++v) {
    least[0][v] = cost(0, v);
    start[0][v] = 0;
  }
  for (int k = 1; k < steps; ++k) {
    for (int v = 0; v < kLevels; ++v) {
      least[k][v] = std::numeric_limits<double>::infinity();
      start[k][v] = k;
      for (int first = k; first <= v; ++first) {
        const double total = least[k - 1][first - 1] + cost(first, v);
        if (total < least[k][v]) {
          least[k][v] = total;
          start[k][v] = first;
        }
      }
    }
  }
  std::vector<int> clusters(static_cast<size_t>(steps));
  int last = kLevels - 1;
  for (int k = steps - 1; k >= 0; --k) {
    const int first = start[k][last];
    clusters[k] = cost.centre(first, last) + kLowest;
    last = first - 1;
  }
  return clusters;
}

std::vector<int> nuq_clusters(const Tensor& weights, const WeightPlan& plan, int axis, const Importance& importance) {
  WeightPlan uniform = plan;
  uniform.clusters.clear();
  const Tensor integers = integer_weights(weights, uniform, axis);
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < weights.rank(); ++i) inner *= weights.dims()[i];
  const auto channels = static_cast<int64_t>(plan.scales.size());
  std::array<double, kLevels> mass{};
  const auto values = integers.values<int8_t>();
  for (int64_t i = 0; i < weights.size(); ++i) {
    const double scale = plan.scales[channels == 1 ? 0 : (i / inner) % channels];
    mass[values[i] - kLowest] += scale * scale * (importance ? importance(i) : 1.0);
  }
  return optimal_clusters(mass, plan.steps);
}

int nearest_cluster(std::span<const int> clusters, int value) {
  const auto above = std::lower_bound(clusters.begin(), clusters.end(), value);
  if (above == clusters.begin()) return clusters.front();
  if (above == clusters.end()) return clusters.back();
  const int below = *(above - 1);
  return value - below <= *above - value ? below : *above;
}

double entropy_coded_bytes(std::span<const int8_t> values) {
  std::array<int64_t, kLevels> counts{};
  for (const int8_t value : values) ++counts[value - kLowest];
  double bits = 0;
  for (const int64_t count : counts) {
    if (count > 0) bits -= static_cast<double>(count) * std::log2(static_cast<double>(count) / values.size());
  }
  return bits / 8;
}

}  // namespace amct
