// Convolutions of integers as plain loops, forward and transposed, for the tests of the kernels that compute them.
#pragma once

#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/simd/int_conv.h"

namespace amct {

using Spatial = IntConvShape::Spatial;

struct Random {
  unsigned seed = std::random_device{}();
  std::mt19937 engine{seed};
  template <typename T>
  std::vector<T> values(int64_t count, int low, int high) {
    std::uniform_int_distribution<int> pick(low, high);
    std::vector<T> result(count);
    for (T& v : result) v = static_cast<T>(pick(engine));
    return result;
  }
};

inline int64_t flat(const Spatial& at, const Spatial& extents) {
  return (at[0] * extents[1] + at[1]) * extents[2] + at[2];
}
inline Spatial unflat(int64_t i, const Spatial& e) { return {i / (e[1] * e[2]), i / e[2] % e[1], i % e[2]}; }

// Index of (sample, channel, pixel) in an activation.
inline int64_t index(const IntConvShape& s, int64_t n, int64_t c, int64_t pixel, int64_t channels,
                     const Spatial& extents) {
  const int64_t pixels = IntConvShape::product(extents);
  return s.channels_last ? (n * pixels + pixel) * channels + c : (n * channels + c) * pixels + pixel;
}

// Visits every (output index, input index, weight group/out/in/position) of the convolution, forward or transposed.
template <typename F>
void visit_products(const IntConvShape& s, bool transposed, F&& f) {
  const Spatial& small = transposed ? s.input : s.output;
  const Spatial& large = transposed ? s.output : s.input;
  for (int64_t pixel = 0; pixel < IntConvShape::product(small); ++pixel) {
    for (int64_t k = 0; k < IntConvShape::product(s.kernel); ++k) {
      const Spatial at = unflat(pixel, small);
      const Spatial kernel = unflat(k, s.kernel);
      Spatial other;
      bool inside = true;
      for (size_t i = 0; i < 3; ++i) {
        other[i] = at[i] * s.strides[i] + kernel[i] * s.dilations[i] - s.pads[i];
        inside = inside && other[i] >= 0 && other[i] < large[i];
      }
      if (inside) f(transposed ? flat(other, large) : pixel, transposed ? pixel : flat(other, large), k);
    }
  }
}

template <typename X, typename W>
std::vector<int64_t> reference(const IntConvShape& s, bool transposed, const std::vector<X>& x, int32_t zero,
                               const std::vector<W>& w, const std::vector<int32_t>& w_zero,
                               const std::vector<int32_t>& bias) {
  std::vector<int64_t> y(s.batch * s.out_channels * IntConvShape::product(s.output));
  const int64_t positions = IntConvShape::product(s.kernel);
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t o = 0; o < s.out_channels; ++o) {
      const int64_t group = o / s.out_group();
      for (int64_t p = 0; p < IntConvShape::product(s.output); ++p) {
        y[index(s, n, o, p, s.out_channels, s.output)] = bias.empty() ? 0 : bias[o];
      }
      for (int64_t i = 0; i < s.in_group(); ++i) {
        visit_products(s, transposed, [&](int64_t out, int64_t in, int64_t k) {
          const int64_t c = group * s.in_group() + i;
          const int64_t at = transposed ? ((c)*s.out_group() + o % s.out_group()) * positions + k
                                        : (o * s.in_group() + i) * positions + k;
          y[index(s, n, o, out, s.out_channels, s.output)] +=
              (int64_t{w[at]} - (w_zero.empty() ? 0 : w_zero[o])) *
              (int64_t{x[index(s, n, c, in, s.in_channels, s.input)]} - zero);
        });
      }
    }
  }
  return y;
}

template <typename X>
IntInput::Type type_of() {
  if constexpr (std::is_same_v<X, int8_t>) {
    return IntInput::Type::kInt8;
  } else if constexpr (std::is_same_v<X, uint8_t>) {
    return IntInput::Type::kUInt8;
  } else {
    static_assert(std::is_same_v<X, int16_t>);
    return IntInput::Type::kInt16;
  }
}

}  // namespace amct
