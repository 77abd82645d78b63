#include "passes/quantize/clip_loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/simd/rounding_loss.h"

namespace amct {
namespace {

double cube(double x) { return x * x * x; }

// Index range of the positions in [low, high].
struct Inside {
  size_t first, last;
};
Inside inside(const std::vector<double>& x, double low, double high) {
  const auto first = std::lower_bound(x.begin(), x.end(), low);
  const auto last = std::upper_bound(first, x.end(), high);
  return {static_cast<size_t>(first - x.begin()), static_cast<size_t>(last - x.begin())};
}

}  // namespace

void ClipLoss::Points::add(double position, double w) {
  if (!x.empty() && x.back() == position) {
    weight.back() += w;
  } else {
    x.push_back(position);
    weight.push_back(w);
  }
}

ClipLoss::ClipLoss(const Distribution& distribution, double least_step)
    : count_(static_cast<double>(distribution.count)) {
  const double small = least_step / 2;
  for (const Segment& s : distribution.segments) {
    const bool vanishes = std::max(std::abs(s.low), std::abs(s.high)) <= small;
    if (s.low == s.high) {
      if (vanishes) {
        always_ += s.weight * s.low * s.low;
      } else {
        atoms_.add(s.low, s.weight);
      }
      continue;
    }
    const double density = s.weight / (s.high - s.low);
    if (vanishes) {
      always_ += density * (cube(s.high) - cube(s.low)) / 3;
    } else {
      edges_.add(s.low, -density);
      edges_.add(s.high, density);
    }
  }
}

double ClipLoss::operator()(double step, double low, double high) const {
  return count_ == 0 ? 0 : (always_ + segments(step, low, high) + atoms(step, low, high)) / count_;
}

// Sums weight * H over all edges, where H is the integral of the error from 0: within the clip range step^3 F(x /
// step), beyond it continued by the integral of (q - x)^2 with q the value that everything beyond is rounded to.
double ClipLoss::segments(double step, double low, double high) const {
  const std::vector<double>& x = edges_.x;  // clang cannot capture structured bindings beside OpenMP
  const std::vector<double>& weight = edges_.weight;
  const Inside range = inside(x, low, high);
  const double inv_step = 1 / step;
  double sum = cube(step) * rounding_integral(x.data() + range.first, weight.data() + range.first,
                                              range.last - range.first, inv_step);
  const auto beyond = [&](size_t first, size_t last, double clip) {
    const double one = 1;
    const double q = std::nearbyint(clip * inv_step) * step;
    const double constant = cube(step) * rounding_integral(&clip, &one, 1, inv_step) - cube(clip - q) / 3;
    for (size_t j = first; j < last; ++j) sum += weight[j] * (constant + cube(x[j] - q) / 3);
  };
  beyond(0, range.first, low);
  beyond(range.last, x.size(), high);
  return sum;
}

double ClipLoss::atoms(double step, double low, double high) const {
  const std::vector<double>& x = atoms_.x;
  const std::vector<double>& weight = atoms_.weight;
  const Inside range = inside(x, low, high);
  const double inv_step = 1 / step;
  double sum = step * step *
               rounding_error(x.data() + range.first, weight.data() + range.first, range.last - range.first, inv_step);
  const auto beyond = [&](size_t first, size_t last, double clip) {
    const double q = std::nearbyint(clip * inv_step) * step;
    for (size_t j = first; j < last; ++j) sum += weight[j] * (x[j] - q) * (x[j] - q);
  };
  beyond(0, range.first, low);
  beyond(range.last, x.size(), high);
  return sum;
}

}  // namespace amct
