#include "passes/quantize/clip_search.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "base/error.h"
#include "ir/half.h"
#include "passes/quantize/hfmg.h"

namespace amct {
namespace {

using Method = ClipSearch::Method;

constexpr float kLeastScale = std::numeric_limits<float>::epsilon();  // 2^-23

// k of C.1 step 1: the k-th largest value is the percentile.
uint64_t rank_of(double percentile, uint64_t count) {
  if (std::abs(1 - percentile) < std::numeric_limits<float>::epsilon()) return 1;
  const auto below = static_cast<uint64_t>(std::floor(percentile * static_cast<double>(count)));
  return std::max<uint64_t>(1, count - std::min(below, count));
}

float lowest(int bits) { return -std::ldexp(1.0f, bits - 1); }
float highest(int bits) { return std::ldexp(1.0f, bits - 1) - 1; }

}  // namespace

std::vector<std::string> check_search(const ActivationPlan& plan) {
  std::vector<std::string> faults;
  const ClipSearch& s = plan.search;
  if (plan.bits != 4 && plan.bits != 8 && plan.bits != 16) {
    faults.push_back(fmt::format("bits is {}, must be 4, 8 or 16", plan.bits));
  }
  for (const auto& [name, value] :
       {std::pair{"max_percentile", s.max_percentile}, {"min_percentile", s.min_percentile}}) {
    if (!(value > 0.5 && value <= 1)) faults.push_back(fmt::format("{} is {}, must be in (0.5, 1]", name, value));
  }
  if (s.bins != 1024 && s.bins != 2048 && s.bins != 4096 && s.bins != 8192) {
    faults.push_back(fmt::format("bins is {}, must be 1024, 2048, 4096 or 8192", s.bins));
  }
  if (!(s.search_start > 0)) faults.push_back(fmt::format("search_start is {}, must be above 0", s.search_start));
  if (!(s.search_end > s.search_start) || !std::isfinite(s.search_end)) {
    faults.push_back(fmt::format("search_end is {}, must be above search_start", s.search_end));
  } else if (!(s.search_step > 0 && s.search_step <= s.search_end - s.search_start)) {
    faults.push_back(
        fmt::format("search_step is {}, must be above 0 and at most search_end - search_start", s.search_step));
  } else if ((s.search_end - s.search_start) / s.search_step > 1e5) {
    faults.push_back(fmt::format("search_step is {}, which gives more than 100000 candidates", s.search_step));
  }
  return faults;
}

ClipRange percentile_range(const Distribution& distribution, const ClipSearch& search, const RangeLimits& limits) {
  const float high = distribution.kth_largest(rank_of(search.max_percentile, distribution.count));
  const float low = distribution.kth_smallest(rank_of(search.min_percentile, distribution.count));
  return {std::max(low, limits.low), std::min(high, limits.high)};
}

ScaleOffset factor_of_range(ClipRange range, int bits, bool asymmetric) {
  const double low = std::min(range.low, 0.0f), high = std::max(range.high, 0.0f);
  if (!asymmetric) {
    const double steps = high < -low ? -lowest(bits) : highest(bits);
    return settle({static_cast<float>(std::max(high, -low) / steps), 0}, bits, false, {});
  }
  const auto scale = static_cast<float>((high - low) / (std::ldexp(1.0, bits) - 1));
  if (!(scale >= kLeastScale)) return settle({scale, 0}, bits, true, {});
  return settle({scale, static_cast<int32_t>(std::nearbyint(lowest(bits) - static_cast<float>(low) / scale))}, bits,
                true, {});
}

ScaleOffset settle(ScaleOffset factor, int bits, bool asymmetric, const RangeLimits& limits) {
  const auto floor = [&] { return ScaleOffset{1, asymmetric ? static_cast<int32_t>(lowest(bits)) : 0}; };
  if (!(factor.scale >= kLeastScale)) return floor();
  const auto offset = static_cast<float>(factor.offset);
  const float up = highest(bits) - offset, down = offset - lowest(bits);  // steps above and below zero
  const auto shrink = [&](float steps, float limit) {
    if (steps <= 0 || !std::isfinite(limit) || steps * factor.scale <= limit) return;
    factor.scale = limit / steps;
    while (steps * factor.scale > limit) factor.scale = std::nextafter(factor.scale, 0.0f);
  };
  shrink(up, limits.high);
  if (asymmetric || limits.low < 0) shrink(down, -limits.low);
  return factor.scale >= kLeastScale ? factor : floor();
}

ScaleOffset with_half_scale(ScaleOffset factor) {
  constexpr float kLeastNormal = 0x1p-14f, kGreatest = 65504.0f;
  if (factor.scale >= kLeastNormal && factor.scale <= kGreatest) {
    factor.scale = static_cast<float>(static_cast<Half>(factor.scale));
  }
  return factor;
}

FactorChoice choose_factor(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits,
                           const EqualBins* ordered) {
  if (const auto faults = check_search(plan); !faults.empty()) throw Error(ErrorCode::kConfig, faults.front());
  AMCT_CHECK(limits.low <= 0 && limits.high >= 0, "range limits without zero");
  FactorChoice choice;
  const ClipRange all = {std::max(distribution.min, limits.low), std::min(distribution.max, limits.high)};
  switch (plan.search.method) {
    case Method::kIfmr: choice = search_ifmr(distribution, plan, limits); break;
    case Method::kMinMax: choice.factor = factor_of_range(all, plan.bits, plan.asymmetric); break;
    case Method::kPercentile:
      choice.factor = factor_of_range(percentile_range(distribution, plan.search, limits), plan.bits, plan.asymmetric);
      break;
    case Method::kMse: choice = search_mse(distribution, plan, limits); break;
    case Method::kKl: choice = search_kl(distribution, plan, limits); break;
    case Method::kHfmg:
      choice = search_equal_bins(ordered != nullptr ? *ordered : equal_bins_of(distribution, plan.search.bins),
                                 plan.bits, plan.asymmetric);
      break;
  }
  choice.factor = settle(choice.factor, plan.bits, plan.asymmetric, limits);
  if (!std::isfinite(choice.factor.scale) || !(1 / choice.factor.scale > 0)) {
    throw Error(ErrorCode::kNumeric, "activation range exceeds float32", {}, "check the calibration data");
  }
  if (distribution.count == 0) {
    choice.warning = "no values were seen";
  } else if (distribution.zeros == distribution.count) {
    choice.warning = "it is zero in all samples";
  }
  return choice;
}

}  // namespace amct
