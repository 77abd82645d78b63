// Element-wise functions of one float32 array, vectorised for the processor at hand.
//
// The exponential, and what is made of it, is within a few units in the last place of the exact value over the whole
// range; NaN passes through every function. erf is x P(x^2) below 1 and 1 - exp(-Q(x)) above, P and Q least-squares
// fits of degree 5 and 7 at Chebyshev nodes (error below 2e-7). A value does not depend on its place in the array.
#pragma once

#include <cstddef>

namespace amct {

enum class FloatUnary {
  kAbs,
  kNeg,
  kSqrt,
  kReciprocal,
  kFloor,
  kCeil,
  kRound,  // round: half to even
  kExp,
  kErf,
  kClip,       // min(max(x, alpha), beta)
  kLeakyRelu,  // x < 0 ? alpha x : x
  kElu,        // beta (x < 0 ? alpha (exp(x) - 1) : x)
  kSigmoid,
  kSwish,  // x / (1 + exp(-alpha x))
  kTanh,
  kHardSigmoid,  // min(max(alpha x + beta, 0), 1)
  kHardSwish,    // x min(max(x / 6 + 1 / 2, 0), 1)
  kSoftplus,
  kMish,
  kGeluErf,
  kGeluTanh,
};

// y[i] = f(x[i]) for i < n. `y` may be `x`.
void float_unary(FloatUnary function, const float* x, float* y, size_t n, float alpha = 0, float beta = 0);

}  // namespace amct
