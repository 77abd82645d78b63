// The clip range that loses least information: for shrinking ranges, the histogram P of the clipped values is compared
// with Q, the same histogram after its bins were merged into the levels of the quantizer and spread out again; the
// range with the least Kullback-Leibler divergence sum p ln(p / q) wins. Zeros are left out: every range represents
// them exactly. Symmetric ranges are searched on magnitudes; asymmetric ones are cut to [-t, t] for shrinking t, so
// that the longer end is cut first.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "passes/quantize/clip_search.h"

namespace amct {
namespace {

constexpr int kBins = 2048;
constexpr int kSteps = 112;      // ranges tried, from the whole one …
constexpr int kLeastBins = 256;  // … down to this many bins
constexpr double kSmoothing = 1e-4;

// Values per bin of equal width over [low, high]; what lies beyond goes to the end bins.
std::vector<double> linear_bins(const Distribution& distribution, double low, double high, bool magnitudes) {
  std::vector<double> bins(kBins, 0.0);
  const double width = (high - low) / kBins;
  const auto position = [&](double x) { return std::clamp((x - low) / width, 0.0, static_cast<double>(kBins)); };
  for (const Segment& s : distribution.segments) {
    if (s.low == 0 && s.high == 0) continue;
    const bool mirror = magnitudes && s.low < 0;
    const double first = position(mirror ? -s.high : s.low), last = position(mirror ? -s.low : s.high);
    const int begin = std::min(static_cast<int>(first), kBins - 1), end = std::min(static_cast<int>(last), kBins - 1);
    if (begin == end) {
      bins[begin] += s.weight;
      continue;
    }
    const double density = s.weight / (last - first);
    for (int b = begin; b <= end; ++b)
      bins[b] += density * (std::min<double>(last, b + 1) - std::max<double>(first, b));
  }
  return bins;
}

// Zero entries become kSmoothing, at the cost of the others.
void smooth(std::vector<double>& p) {
  const auto zeros = std::count(p.begin(), p.end(), 0.0);
  const auto others = static_cast<ptrdiff_t>(p.size()) - zeros;
  if (others == 0) return;
  const double total = kSmoothing * static_cast<double>(zeros) / static_cast<double>(others);
  for (double& x : p) x = x == 0 ? kSmoothing : x - total * (x > total ? 1 : 0);
}

double divergence(std::vector<double> p, std::vector<double> q) {
  smooth(p);
  smooth(q);
  double sum_p = 0, sum_q = 0;
  for (size_t i = 0; i < p.size(); ++i) sum_p += p[i], sum_q += q[i];
  if (sum_p <= 0 || sum_q <= 0) return std::numeric_limits<double>::infinity();
  double result = 0;
  for (size_t i = 0; i < p.size(); ++i) result += p[i] / sum_p * std::log(p[i] / sum_p / (q[i] / sum_q));
  return result;
}

// The divergence when only bins [begin, end) are kept and merged into `levels` groups.
double window_divergence(const std::vector<double>& bins, int begin, int end, int levels) {
  std::vector<double> p(bins.begin() + begin, bins.begin() + end);
  std::vector<double> q(p.size(), 0.0);
  const auto size = static_cast<int64_t>(p.size());
  for (int64_t group = 0; group < levels; ++group) {
    const int64_t first = group * size / levels, last = (group + 1) * size / levels;
    double sum = 0;
    int64_t occupied = 0;
    for (int64_t i = first; i < last; ++i) sum += p[i], occupied += p[i] != 0;
    for (int64_t i = first; i < last; ++i) q[i] = p[i] != 0 ? sum / static_cast<double>(occupied) : 0;
  }
  for (int i = 0; i < begin; ++i) p.front() += bins[i];
  for (int i = end; i < kBins; ++i) p.back() += bins[i];
  return divergence(std::move(p), std::move(q));
}

}  // namespace

FactorChoice search_kl(const Distribution& distribution, const ActivationPlan& plan, const RangeLimits& limits) {
  ClipRange range = percentile_range(distribution, plan.search, limits);
  const float reach = std::max(range.high, -range.low);
  const bool magnitudes = !plan.asymmetric;
  const double low = magnitudes ? 0 : range.low, high = magnitudes ? reach : range.high;
  const int levels = 1 << (magnitudes ? plan.bits - 1 : plan.bits);
  FactorChoice choice;
  choice.factor = factor_of_range(range, plan.bits, plan.asymmetric);
  if (!(high - low > 0) || levels > kLeastBins) return choice;  // nothing to gain where levels outnumber bins

  const std::vector<double> bins = linear_bins(distribution, low, high, magnitudes);
  double best_share = 1;
  choice.loss = std::numeric_limits<double>::infinity();
  const auto cut = [&](double share) {
    const float t = static_cast<float>(share * reach);
    return ClipRange{std::max(range.low, -t), std::min(range.high, t)};
  };
  for (int step = 0; step <= kSteps; ++step) {
    const double share = 1 - static_cast<double>(step) * (kBins - kLeastBins) / kBins / kSteps;
    const ClipRange part = cut(share);
    const double from = magnitudes ? 0 : part.low, to = magnitudes ? share * reach : part.high;
    const int begin = static_cast<int>((from - low) / (high - low) * kBins);
    const int end = static_cast<int>(std::ceil((to - low) / (high - low) * kBins));
    const double loss = window_divergence(bins, begin, std::clamp(end, begin + 1, kBins), levels);
    if (!(loss < choice.loss)) continue;
    choice.loss = loss;
    best_share = share;
  }
  range = cut(best_share);
  choice.factor = factor_of_range(range, plan.bits, plan.asymmetric);
  return choice;
}

}  // namespace amct
