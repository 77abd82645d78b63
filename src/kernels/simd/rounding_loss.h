// Squared error of rounding to multiples of a step s, summed over many values at once, for searches that try many
// steps.
//
// With t = x / s and r = round(t), the error of one value is s^2 (t - r)^2, and its integral from 0 to x is
//   s^3 F(t),  F(t) = r / 12 + (t - r)^3 / 3
// (every whole step contributes 1/12). A value density that is constant between sorted edges x_0 < x_1 < … and jumps at
// them by -c_j therefore has the loss s^3 sum_j c_j F(x_j / s).
#pragma once

#include <cstddef>

namespace amct {

// sum_j c_j F(x_j * inv_step)
double rounding_integral(const double* x, const double* c, size_t count, double inv_step);
// sum_j w_j (t_j - round(t_j))^2 with t_j = x_j * inv_step
double rounding_error(const double* x, const double* w, size_t count, double inv_step);

}  // namespace amct
