#include "passes/quantize/hfmg.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace amct {
namespace {

constexpr double kLeastWidth = std::numeric_limits<float>::epsilon();
constexpr int64_t kCutsPerCount = 100000;  // a step swallows this part of all values

// Counts of `batch` in bins of [low, high]; a range too narrow for bins puts all into the middle one.
void count(std::span<const float> batch, double low, double high, std::vector<int64_t>& counts) {
  const auto bins = static_cast<int64_t>(counts.size());
  const double width = (high - low) / static_cast<double>(bins);
  if (width < kLeastWidth) {
    counts[counts.size() / 2] += static_cast<int64_t>(batch.size());
    return;
  }
  for (const float x : batch) {
    ++counts[std::clamp<int64_t>(static_cast<int64_t>((x - low) / width), 0, bins - 1)];
  }
}

// Moves the counts of a histogram into wider bins. An old bin reaches into two of them at most.
void move_counts(const EqualBins& from, EqualBins& to) {
  const double old_width = from.width(), width = to.width();
  const auto last = static_cast<int64_t>(to.counts.size()) - 1;
  if (width < kLeastWidth) {
    to.counts[to.counts.size() / 2] += std::accumulate(from.counts.begin(), from.counts.end(), int64_t{0});
    return;
  }
  for (size_t i = 0; i < from.counts.size(); ++i) {
    if (from.counts[i] == 0) continue;
    const double lower = from.low + static_cast<double>(i) * old_width, upper = lower + old_width;
    const auto first = std::clamp<int64_t>(static_cast<int64_t>(std::floor((lower - to.low) / width)), 0, last);
    const auto second = std::clamp<int64_t>(static_cast<int64_t>(std::floor((upper - to.low) / width)), 0, last);
    if (first == second || !(upper > lower)) {
      to.counts[first] += from.counts[i];
      continue;
    }
    const double edge = to.low + static_cast<double>(first + 1) * width;
    const auto left =
        static_cast<int64_t>(std::floor(static_cast<double>(from.counts[i]) * (edge - lower) / (upper - lower)));
    to.counts[first] += left;
    to.counts[second] += from.counts[i] - left;
  }
}

// Integral of density * x^2 from a to b.
double error_between(double a, double b, double density) { return (b * b * b - a * a * a) / 3 * density; }

// The squared error when the bins [left, right] are quantized to `levels` steps and the others clipped to them.
double range_loss(const EqualBins& histogram, int64_t left, int64_t right, int64_t levels) {
  const double width = histogram.width();
  const double step = width * static_cast<double>(right - left + 1) / static_cast<double>(levels);
  if (step < kLeastWidth) return 0;
  const auto level_of = [&](double x) {
    return std::clamp<int64_t>(static_cast<int64_t>(std::floor(x / step)), 0, levels - 1);
  };
  const auto centre = [&](int64_t level) { return static_cast<double>(level) * step + step / 2; };
  double loss = 0;
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    if (histogram.counts[i] == 0) continue;
    const double begin = static_cast<double>(static_cast<int64_t>(i) - left) * width, end = begin + width;
    const double density = static_cast<double>(histogram.counts[i]) / width;
    const int64_t first = level_of(begin), last = level_of(end);
    if (first == last) {
      loss += error_between(begin - centre(first), end - centre(first), density);
      continue;
    }
    loss += error_between(begin - centre(first), step / 2, density) +
            static_cast<double>(last - first - 1) * error_between(-step / 2, step / 2, density) +
            error_between(-step / 2, end - centre(last), density);
  }
  return loss;
}

struct BinRange {
  int64_t left = 0;
  int64_t right = 0;
};

// Narrower and narrower ranges: of both ends the one goes that loses more bins for the same number of values.
std::vector<BinRange> candidates(const std::vector<int64_t>& counts) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const int64_t step = std::max<int64_t>(1, (total + kCutsPerCount - 1) / kCutsPerCount);
  const auto bins = static_cast<int64_t>(counts.size());
  const int64_t least = (bins + 3) / 4;
  std::vector<BinRange> result;
  BinRange range{0, bins - 1};
  while (range.right - range.left > least) {
    int64_t left = range.left, right = range.right;
    for (int64_t sum = 0; sum < step && left < right; ++left) sum += counts[static_cast<size_t>(left)];
    for (int64_t sum = 0; sum < step && right > left; --right) sum += counts[static_cast<size_t>(right)];
    if (range.right - right >= left - range.left) {
      range.right = right;
    } else {
      range.left = left;
    }
    result.push_back(range);
  }
  return result;
}

}  // namespace

void EqualBins::add(std::span<const float> batch, int bins) {
  if (batch.empty()) return;
  const auto [least, greatest] = std::minmax_element(batch.begin(), batch.end());
  if (counts.empty()) {
    low = *least;
    high = *greatest;
    counts.assign(static_cast<size_t>(bins), 0);
    return count(batch, low, high, counts);
  }
  EqualBins wider{std::min<double>(low, *least), std::max<double>(high, *greatest), {}};
  wider.counts.assign(counts.size(), 0);
  count(batch, wider.low, wider.high, wider.counts);
  if (std::abs(wider.low - low) < kLeastWidth && std::abs(wider.high - high) < kLeastWidth) {
    for (size_t i = 0; i < counts.size(); ++i) wider.counts[i] += counts[i];
  } else {
    move_counts(*this, wider);
  }
  *this = std::move(wider);
}

EqualBins equal_bins_of(const Distribution& distribution, int bins) {
  EqualBins result{distribution.min, distribution.max, std::vector<int64_t>(static_cast<size_t>(bins), 0)};
  const double width = result.width();
  if (width < kLeastWidth) {
    result.counts[result.counts.size() / 2] = static_cast<int64_t>(distribution.count);
    return result;
  }
  std::vector<double> exact(result.counts.size(), 0.0);
  for (const Segment& s : distribution.segments) {
    const double first = std::clamp((s.low - result.low) / width, 0.0, static_cast<double>(bins));
    const double last = std::clamp((s.high - result.low) / width, 0.0, static_cast<double>(bins));
    const auto begin = std::min<int64_t>(static_cast<int64_t>(first), bins - 1);
    const auto end = std::min<int64_t>(static_cast<int64_t>(last), bins - 1);
    if (begin == end) {
      exact[static_cast<size_t>(begin)] += s.weight;
      continue;
    }
    for (int64_t b = begin; b <= end; ++b) {
      const double part = std::min(last, static_cast<double>(b + 1)) - std::max(first, static_cast<double>(b));
      exact[static_cast<size_t>(b)] += s.weight * part / (last - first);
    }
  }
  double carried = 0;  // rounds so that the counts add up
  for (size_t i = 0; i < exact.size(); ++i) {
    carried += exact[i];
    result.counts[i] = std::llround(carried);
    carried -= static_cast<double>(result.counts[i]);
  }
  return result;
}

FactorChoice search_equal_bins(const EqualBins& histogram, int bits, bool asymmetric) {
  FactorChoice choice;
  BinRange best{0, static_cast<int64_t>(histogram.counts.size()) - 1};
  choice.loss = std::numeric_limits<double>::infinity();
  if (histogram.width() >= kLeastWidth) {
    for (const BinRange& range : candidates(histogram.counts)) {
      const double loss = range_loss(histogram, range.left, range.right, int64_t{1} << bits);
      if (!(loss < choice.loss)) continue;
      choice.loss = loss;
      best = range;
    }
  }
  const double width = histogram.width();
  const ClipRange range{static_cast<float>(histogram.low + static_cast<double>(best.left) * width),
                        static_cast<float>(histogram.low + static_cast<double>(best.right + 1) * width)};
  choice.factor = factor_of_range({std::min(range.low, 0.0f), std::max(range.high, 0.0f)}, bits, asymmetric);
  return choice;
}

}  // namespace amct
