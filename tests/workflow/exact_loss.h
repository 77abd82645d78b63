// The loss of a clip from all values themselves, which the searches on histograms estimate.
#pragma once

#include <algorithm>
#include <vector>

namespace amct::testing {

// mean (round(clip(x) / s) * s - x)^2 for 8 bits between `low` and `high`, in doubles. Adding and taking off 1.5 * 2^52
// rounds to integers, half to even.
inline double exact_loss(const std::vector<float>& values, double low, double high) {
  constexpr double kRound = 6755399441055744.0;
  const double step = static_cast<float>((high - low) / 255);
  double sum = 0;
  for (const float x : values) {
    const double quotient = std::min(std::max<double>(x, low), high) / step;
    const double error = (quotient + kRound - kRound) * step - x;
    sum += error * error;
  }
  return sum / static_cast<double>(values.size());
}

}  // namespace amct::testing
