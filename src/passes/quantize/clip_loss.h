// The squared error that clipping and rounding would make on a distribution:
//   sum over values of (round(clip(x, low, high) / s) * s - x)^2
// Atoms are summed exactly, segments integrated in closed form (kernels/simd/rounding_loss.h), so that a candidate
// costs one short vectorised loop however many values were counted.
#pragma once

#include <cstddef>
#include <vector>

#include "exec/distribution.h"

namespace amct {

class ClipLoss {
 public:
  // `least_step`: no step below this will be asked for. Values under half of it round to zero in every candidate, so
  // that their loss is computed once.
  ClipLoss(const Distribution& distribution, double least_step);

  // Mean over all values; `step` >= least_step, low <= 0 <= high.
  double operator()(double step, double low, double high) const;

 private:
  struct Points {  // sorted positions and their weights
    std::vector<double> x;
    std::vector<double> weight;
    void add(double position, double w);
  };
  double segments(double step, double low, double high) const;
  double atoms(double step, double low, double high) const;

  double count_ = 0;
  double always_ = 0;  // loss of what rounds to zero in every candidate
  Points edges_;       // of segments; the weight is the drop of the density at the edge
  Points atoms_;
};

}  // namespace amct
