// Values as activations are distributed, for tests of histograms: what layers give, what is clipped, what spans many
// binades, what repeats.
#pragma once

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <vector>

#include "exec/histogram.h"

namespace amct::testing {

enum class Kind {
  kNormal,
  kRelu,
  kRelu6,
  kOutlierAboveTheClip,  // kRelu6 with one value above 6, behind the middle
  kClipBoth,
  kNegative,
  kPositive,
  kTiny,
  kWide,
  kLevels,
  kConstantAndNoise
};

inline void PrintTo(Kind kind, std::ostream* out) {
  constexpr const char* kNames[] = {"normal",   "relu", "relu6", "outlier", "clip_both",         "negative",
                                    "positive", "tiny", "wide",  "levels",  "constant_and_noise"};
  *out << kNames[static_cast<size_t>(kind)];
}

inline std::vector<float> draw(Kind kind, size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.5f, 2.0f);
  std::vector<float> x(count);
  for (float& v : x) {
    v = normal(random);
    switch (kind) {
      case Kind::kNormal: break;
      case Kind::kRelu: v = std::max(v, 0.0f); break;
      case Kind::kRelu6:
      case Kind::kOutlierAboveTheClip: v = std::clamp(2 * v, 0.0f, 6.0f); break;
      case Kind::kClipBoth: v = std::clamp(v, -1.0f, 1.5f); break;
      case Kind::kNegative: v = -std::abs(v) - 0.25f; break;
      case Kind::kPositive: v = std::abs(v) + 1e-3f; break;
      case Kind::kTiny: v *= 1e-40f; break;
      case Kind::kWide: v = std::exp(8 * v) * (v > 1 ? -1.0f : 1.0f); break;
      case Kind::kLevels: v = std::round(8 * v) / 64; break;
      case Kind::kConstantAndNoise: v = random() % 4 == 0 ? -v : -3.0f; break;
    }
  }
  if (kind == Kind::kOutlierAboveTheClip) x[count / 2 + 1] = 7;
  return x;
}

// The histogram of these values.
inline Histogram of(const std::vector<float>& x, size_t tail = 32) {
  Histogram histogram(tail);
  histogram.add(x);
  return histogram;
}

}  // namespace amct::testing
