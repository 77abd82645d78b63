// The discrete Fourier transform of any length, in double precision:
//   y[k] = sum over t of x[t] exp(-2 pi i k t / n),   inverse: x[t] = 1/n sum over k of y[k] exp(2 pi i k t / n).
//
// Lengths that are powers of 2 are split in halves (Cooley and Tukey 1965). Others become a cyclic convolution with a
// chirp, exp(-pi i t^2 / n), of a length that is such a power (Bluestein 1970).
#pragma once

#include <complex>
#include <cstdint>
#include <vector>

namespace amct::reference {

class Fft {
 public:
  // Tables for transforms of `n` >= 1 elements.
  Fft(int64_t n, bool inverse);
  // Transforms n elements in place. `scratch` grows to what is needed and may be shared by calls of one thread.
  void run(std::complex<double>* x, std::vector<std::complex<double>>& scratch) const;

 private:
  int64_t n_;
  bool inverse_;
  size_t power_;                              // length of the transforms by halves: n, or at least 2 n - 1
  std::vector<std::complex<double>> roots_;   // exp(-2 pi i k / power), k < power / 2
  std::vector<std::complex<double>> chirp_;   // of Bluestein; empty where n is a power of 2
  std::vector<std::complex<double>> filter_;  // the transform of the inverse chirp
};

}  // namespace amct::reference
