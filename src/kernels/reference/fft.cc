#include "kernels/reference/fft.h"

#include <algorithm>
#include <bit>
#include <numbers>

namespace amct::reference {
namespace {

using Complex = std::complex<double>;

// In place; `roots` has half as many entries as x.
void transform(Complex* x, size_t n, const std::vector<Complex>& roots) {
  for (size_t i = 1, j = 0; i < n; ++i) {  // bit-reversed order
    size_t bit = n >> 1;
    for (; (j & bit) != 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(x[i], x[j]);
  }
  for (size_t half = 1; half < n; half *= 2) {
    const size_t stride = n / (2 * half);
    for (size_t begin = 0; begin < n; begin += 2 * half) {
      for (size_t k = 0; k < half; ++k) {
        const Complex odd = x[begin + k + half] * roots[k * stride];
        x[begin + k + half] = x[begin + k] - odd;
        x[begin + k] += odd;
      }
    }
  }
}

}  // namespace

Fft::Fft(int64_t n, bool inverse) : n_(n), inverse_(inverse) {
  const auto size = static_cast<size_t>(n);
  const bool is_power = std::has_single_bit(size);
  power_ = is_power ? size : std::bit_ceil(2 * size - 1);
  for (size_t k = 0; k < power_ / 2; ++k) {
    roots_.push_back(std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(power_)));
  }
  if (is_power) return;
  for (size_t t = 0; t < size; ++t) {  // t^2 modulo 2 n keeps the angle small and so exact
    const auto square = static_cast<unsigned __int128>(t) * t % (2 * size);
    chirp_.push_back(std::polar(1.0, -std::numbers::pi * static_cast<double>(square) / static_cast<double>(n)));
  }
  filter_.assign(power_, Complex());
  for (size_t t = 0; t < size; ++t) {
    filter_[t] = std::conj(chirp_[t]);
    if (t > 0) filter_[power_ - t] = std::conj(chirp_[t]);
  }
  transform(filter_.data(), power_, roots_);
}

void Fft::run(std::complex<double>* x, std::vector<std::complex<double>>& scratch) const {
  const auto size = static_cast<size_t>(n_);
  // The inverse is the transform of the conjugate, conjugated.
  if (inverse_) std::transform(x, x + size, x, [](const Complex& z) { return std::conj(z); });
  if (chirp_.empty()) {
    transform(x, size, roots_);
  } else {
    scratch.assign(power_, Complex());
    for (size_t t = 0; t < size; ++t) scratch[t] = x[t] * chirp_[t];
    transform(scratch.data(), power_, roots_);
    for (size_t k = 0; k < power_; ++k) scratch[k] = std::conj(scratch[k] * filter_[k]);
    transform(scratch.data(), power_, roots_);
    const double scale = 1.0 / static_cast<double>(power_);
    for (size_t k = 0; k < size; ++k) x[k] = std::conj(scratch[k]) * scale * chirp_[k];
  }
  if (!inverse_) return;
  const double scale = 1.0 / static_cast<double>(n_);
  std::transform(x, x + size, x, [&](const Complex& z) { return std::conj(z) * scale; });
}

}  // namespace amct::reference
