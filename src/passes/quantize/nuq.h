// Non-uniform weights: of the 256 integers that ARQ gives, a layer keeps 16 or 32, and every weight takes the nearest
// of those (spec C.5). The file still holds int8, but compresses to the entropy of so few values.
//
// The values are the exact optimum of
//     sum over all weights of m(w) (q(w) - nearest value)^2,   m = the square of the weight's scale
// times, if it is known, the mean square of the input channel that the weight multiplies: the sum is then the expected
// squared error of the layer's results, as far as its inputs are not correlated. It is found by dynamic programming
// over the sorted integers: the best way to split [-128, v] into k groups comes from the best ways to split what lies
// before the last group into k - 1.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ir/tensor.h"
#include "plan/plan.h"

namespace amct {

// Ascending distinct integers of [-128, 127], exactly `steps` of them. `mass[q + 128]` is how much an error at q
// counts.
std::vector<int> optimal_clusters(std::span<const double> mass, int steps);

// How much an error of a weight's element counts besides its scale; null: all alike.
using Importance = std::function<double(int64_t element)>;
// The clusters of a layer whose scales are known.
std::vector<int> nuq_clusters(const Tensor& weights, const WeightPlan& plan, int axis,
                              const Importance& importance = {});

// Nearest of the ascending clusters; of two as near the smaller one.
int nearest_cluster(std::span<const int> clusters, int value);

// Bytes that the values take when each is coded in -log2(its share) bits.
double entropy_coded_bytes(std::span<const int8_t> values);

}  // namespace amct
