// The clip range of least squared error, the integer clamp included: both ends are searched on a grid of shares of the
// percentile range, which is then refined around its best point.
#include <array>
#include <cmath>
#include <limits>

#include "passes/quantize/clip_loss.h"
#include "passes/quantize/clip_search.h"

namespace amct {
namespace {

constexpr int kGrid = 24;
constexpr int kRefinements = 5;
constexpr double kLeastShare = 0.1;

struct Candidate {
  double low_share = 1;
  double high_share = 1;
  double loss = std::numeric_limits<double>::infinity();
  ScaleOffset factor;
};

}  // namespace

FactorChoice search_mse(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits) {
  const ClipRange range = percentile_range(distribution, plan.search, limits);
  const ScaleOffset whole = factor_of_range(range, plan.bits, plan.asymmetric);
  const ClipLoss loss(distribution, kLeastShare * whole.scale / 4);
  const double bottom = -std::ldexp(1.0, plan.bits - 1), top = -bottom - 1;
  Candidate best;
  const auto consider = [&](double low_share, double high_share) {
    if (low_share < kLeastShare || high_share < kLeastShare || low_share > 1 || high_share > 1) return;
    const ClipRange part = {static_cast<float>(range.low * low_share), static_cast<float>(range.high * high_share)};
    const ScaleOffset factor =
        settle(factor_of_range(part, plan.bits, plan.asymmetric), plan.bits, plan.asymmetric, limits);
    const double scale = factor.scale;
    const double value = loss(scale, (bottom - factor.offset) * scale, (top - factor.offset) * scale);
    if (value < best.loss) best = {low_share, high_share, value, factor};
  };
  const bool both = plan.asymmetric && range.low < 0 && range.high > 0;
  for (int i = kGrid; i >= 1; --i) {
    const double share = static_cast<double>(i) / kGrid;
    if (!both) consider(share, share);
    for (int j = kGrid; both && j >= 1; --j) consider(share, static_cast<double>(j) / kGrid);
  }
  double width = 0.5 / kGrid;
  for (int round = 0; round < kRefinements; ++round, width /= 2) {
    const Candidate centre = best;
    for (const double a : {-width, 0.0, width}) {
      for (const double b : {-width, 0.0, width}) {
        if (both || a == b) consider(centre.low_share + a, centre.high_share + b);
      }
    }
  }
  FactorChoice choice;
  choice.factor = best.factor;
  choice.loss = best.loss;
  return choice;
}

}  // namespace amct
