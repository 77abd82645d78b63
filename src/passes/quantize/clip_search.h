// Chooses scale and offset of an activation from the distribution of its values: one function per method of ClipSearch.
//   ifmr        candidates (start + i * step) * V for the upper clip (both clips when symmetric), first minimum of the
//               mean squared rounding error, which is taken without integer clamp and offset (AMCT's default)
//   min_max     the whole range
//   percentile  the range without the values beyond the percentiles
//   mse         both clips searched, error with the integer clamp
//   hfmg        the part of a histogram of equal bins that loses least (hfmg.h)
//   kl          the range whose quantized histogram has the least Kullback-Leibler divergence
// Ranges always include zero. Results depend on the distribution alone.
#pragma once

#include <limits>
#include <string>

#include "exec/distribution.h"
#include "plan/plan.h"

namespace amct {

// Bounds that the values of the quantized grid must not leave: behind a Clip(0, 6) a runtime drops the Clip only if the
// quantizer cannot produce anything outside it. low <= 0 <= high; low = 0 does not bind a symmetric grid.
struct RangeLimits {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

struct FactorChoice {
  ScaleOffset factor;
  double loss = 0;      // what the method minimised; 0 where nothing is searched
  int candidate = -1;   // index of the winning candidate of ifmr
  std::string warning;  // "" or a clause: "it is zero in all samples"
};

// Faults of the parameters, one clause each: "max_percentile is 0.4, must be in (0.5, 1]" (spec B.1).
std::vector<std::string> check_search(const ActivationPlan& plan);

// `ordered`: what kHfmg searches instead of a histogram made from the distribution. Throws Error(kConfig) if
// check_search finds a fault, Error(kNumeric) if the range exceeds what a scale can express.
struct EqualBins;
FactorChoice choose_factor(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits = {},
                           const EqualBins* ordered = nullptr);

// The range of the values without those beyond the percentiles, extended to zero and cut to the limits (C.1 step 1).
struct ClipRange {
  float low = 0;
  float high = 0;
};
ClipRange percentile_range(const Distribution& distribution, const ClipSearch& search, const RangeLimits& limits);

// Scale and offset of a range by C.0.1. Scales below 2^-23 become 1.
ScaleOffset factor_of_range(ClipRange range, int bits, bool asymmetric);

// (1) the scale is at least 2^-23, otherwise scale 1 and, if asymmetric, the lowest offset; (2) the grid stays in the
// limits: the scale shrinks as far as needed. In float32, as a runtime computes the grid's ends.
ScaleOffset settle(ScaleOffset factor, int bits, bool asymmetric, const RangeLimits& limits);

// The factor with its scale rounded to float16; scales beyond float16's normal numbers stay (spec B.1,
// FORCE_FP16_QUANT).
ScaleOffset with_half_scale(ScaleOffset factor);

// The methods, for `choose_factor`.
FactorChoice search_ifmr(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits);
FactorChoice search_mse(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits);
FactorChoice search_kl(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits);

}  // namespace amct
