// IFMR (spec C.1).
#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/quantize/clip_loss.h"
#include "passes/quantize/clip_search.h"

namespace amct {

FactorChoice search_ifmr(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits) {
  const ClipSearch& search = plan.search;
  const ClipRange range = percentile_range(distribution, search, limits);
  const bool narrow = !plan.asymmetric && range.high < -range.low;
  const double levels = std::ldexp(1.0, plan.asymmetric ? plan.bits : plan.bits - 1);
  const double steps = narrow ? levels : levels - 1;
  const float reach = plan.asymmetric ? range.high : std::max(range.high, -range.low);
  const double fixed = plan.asymmetric ? range.low : 0;  // the end that is not searched

  // The count of a half-open range in double precision: 61 with the defaults, because 0.6 / 0.01 exceeds 60.
  const auto candidates = static_cast<int>(std::ceil((search.search_end - search.search_start) / search.search_step));
  const auto clip_of = [&](int i) {
    const double clip = (search.search_start + i * search.search_step) * static_cast<double>(reach);
    return std::min(clip, static_cast<double>(limits.high));
  };
  const auto scale_of = [&](int i) { return static_cast<float>((clip_of(i) - fixed) / steps); };

  FactorChoice best;
  best.loss = std::numeric_limits<double>::infinity();
  const ClipLoss loss(distribution, scale_of(0));
  for (int i = 0; i < candidates && scale_of(0) >= std::numeric_limits<float>::min(); ++i) {
    const double value = loss(scale_of(i), plan.asymmetric ? fixed : -clip_of(i), clip_of(i));
    if (!(value < best.loss)) continue;
    best.loss = value;
    best.candidate = i;
  }
  if (best.candidate < 0) {
    best = {};
    best.factor.scale = 0;
    return best;
  }
  best.factor.scale = scale_of(best.candidate);
  if (plan.asymmetric) {
    best.factor.offset =
        static_cast<int32_t>(-std::nearbyint(range.low / best.factor.scale) - std::ldexp(1.0, plan.bits - 1));
  }
  return best;
}

}  // namespace amct
