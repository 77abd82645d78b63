// Plain kernels in double precision on row-major arrays: what constant folding uses, what the executor falls back on,
// and what the fast kernels are tested against. Written to be read, with inner loops that a compiler can vectorize.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ir/tensor.h"
#include "kernels/dnnl/kernel.h"

namespace amct::reference {

// Elements of any numeric type as double, and back (16-bit floats are rounded through float; integers truncate).
std::vector<double> widen(const TensorView& view);
void narrow(const std::vector<double>& values, const MutableView& view);

// Extents of a windowed operation with the spatial axes extended to three by leading ones.
struct WindowedShape {
  int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  std::array<int64_t, 3> in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, strides{1, 1, 1}, dilations{1, 1, 1};
  std::array<int64_t, 3> pads_begin{}, pads_end{};
  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }
  int64_t kernel_size() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// From logical extents (N, C, spatial…) with 1 to 3 spatial axes.
WindowedShape windowed_shape(const Dims& in, const Dims& out, const dnn::Window& window, int64_t groups = 1);

// y = bias + w * x. Weights (out, in / groups, kernel…); `bias` is null or has one element per output channel.
void convolve(const WindowedShape& shape, const double* x, const double* w, const double* bias, double* y, int threads);
// The transposed convolution: every input element adds its multiple of the kernel to the output.
void convolve_transposed(const WindowedShape& shape, const double* x, const double* w, const double* bias, double* y,
                         int threads);

// Pools; channels of input and output are the same. `indices` is null or takes, per output, the index of the maximum in
// the flattened input (`column_major`: spatial axes counted first axis fastest).
void max_pool(const WindowedShape& shape, const double* x, double* y, int64_t* indices, bool column_major, int threads);
// Sums of windows divided by the elements inside the input, or, with `padded`, inside input and pads; `divide` false
// leaves the sums.
void average_pool(const WindowedShape& shape, const double* x, double* y, bool padded, bool divide, int threads);
void lp_pool(const WindowedShape& shape, const double* x, double* y, double p, int threads);

// y (m, n) += a (m, k) b (k, n), row-major.
void multiply_add(int64_t m, int64_t n, int64_t k, const double* a, const double* b, double* y, int threads);

}  // namespace amct::reference
