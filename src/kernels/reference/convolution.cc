#include <algorithm>
#include <array>

#include "ir/dispatch.h"
#include "kernels/reference/reference.h"

namespace amct::reference {
namespace {

// Positions o in [first, last) of the longer side for which begin + o * stride lies in [0, extent).
struct Range {
  int64_t first, last;
};
Range positions_inside(int64_t begin, int64_t stride, int64_t extent, int64_t count) {
  const int64_t first = begin >= 0 ? 0 : (-begin + stride - 1) / stride;
  const int64_t last = extent <= begin ? 0 : (extent - begin + stride - 1) / stride;
  return {std::min(first, count), std::clamp<int64_t>(last, 0, count)};
}

// Calls f(small, large, count, step) for every run of the innermost axis in which `large` index = small index * stride
// + kernel offset - pad is inside; `small` and `large` are offsets into one channel.
template <typename F>
void for_each_run(const WindowedShape& s, const std::array<int64_t, 3>& small, const std::array<int64_t, 3>& large,
                  const std::array<int64_t, 3>& tap, F&& f) {
  std::array<int64_t, 3> begin;
  std::array<Range, 3> range;
  for (int i = 0; i < 3; ++i) {
    begin[i] = tap[i] * s.dilations[i] - s.pads_begin[i];
    range[i] = positions_inside(begin[i], s.strides[i], large[i], small[i]);
  }
  const int64_t count = range[2].last - range[2].first;
  if (count <= 0) return;
  for (int64_t a = range[0].first; a < range[0].last; ++a) {
    for (int64_t b = range[1].first; b < range[1].last; ++b) {
      const int64_t large_row = (begin[0] + a * s.strides[0]) * large[1] + begin[1] + b * s.strides[1];
      f((a * small[1] + b) * small[2] + range[2].first, large_row * large[2] + begin[2] + range[2].first * s.strides[2],
        count);
    }
  }
}

template <typename F>
void for_each_tap(const WindowedShape& s, F&& f) {
  for (int64_t a = 0; a < s.kernel[0]; ++a) {
    for (int64_t b = 0; b < s.kernel[1]; ++b) {
      for (int64_t c = 0; c < s.kernel[2]; ++c)
        f(std::array<int64_t, 3>{a, b, c}, (a * s.kernel[1] + b) * s.kernel[2] + c);
    }
  }
}

// One output channel of one sample; `transposed` swaps which side the window slides over.
void convolve_channel(const WindowedShape& s, bool transposed, int64_t sample, int64_t channel, const double* x,
                      const double* w, double* y) {
  const int64_t in_per_group = s.in_channels / s.groups;
  const int64_t group = channel / (s.out_channels / s.groups);
  for (int64_t i = 0; i < in_per_group; ++i) {
    const double* in = x + (sample * s.in_channels + group * in_per_group + i) * s.in_size();
    const double* kernel = w + (channel * in_per_group + i) * s.kernel_size();
    for_each_tap(s, [&](const std::array<int64_t, 3>& tap, int64_t k) {
      const double factor = kernel[k];
      const int64_t stride = s.strides[2];
      if (transposed) {
        for_each_run(s, s.in, s.out, tap, [&](int64_t from, int64_t to, int64_t count) {
          for (int64_t j = 0; j < count; ++j) y[to + j * stride] += factor * in[from + j];
        });
      } else {
        for_each_run(s, s.out, s.in, tap, [&](int64_t to, int64_t from, int64_t count) {
          for (int64_t j = 0; j < count; ++j) y[to + j] += factor * in[from + j * stride];
        });
      }
    });
  }
}

void convolve_all(const WindowedShape& s, bool transposed, const double* x, const double* w, const double* bias,
                  double* y, int threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t row = 0; row < s.batch * s.out_channels; ++row) {
    const int64_t channel = row % s.out_channels;
    double* out = y + row * s.out_size();
    std::fill(out, out + s.out_size(), bias != nullptr ? bias[channel] : 0.0);
    convolve_channel(s, transposed, row / s.out_channels, channel, x, w, out);
  }
}

}  // namespace

std::vector<double> widen(const TensorView& view) {
  std::vector<double> values(static_cast<size_t>(view.size()));
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    const T* data = view.as<T>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(static_cast<Compute<T>>(data[i]));
  });
  return values;
}

void narrow(const std::vector<double>& values, const MutableView& view) {
  AMCT_CHECK(static_cast<int64_t>(values.size()) == view.size(), "result of the wrong size");
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    T* data = view.as<T>();
    for (size_t i = 0; i < values.size(); ++i) data[i] = static_cast<T>(static_cast<Compute<T>>(values[i]));
  });
}

WindowedShape windowed_shape(const Dims& in, const Dims& out, const dnn::Window& window, int64_t groups) {
  const size_t spatial = window.kernel.size();
  AMCT_CHECK(spatial >= 1 && spatial <= 3 && in.size() == spatial + 2 && out.size() == spatial + 2,
             "a window slides over one to three axes");
  WindowedShape shape;
  shape.batch = in[0];
  shape.in_channels = in[1];
  shape.out_channels = out[1];
  shape.groups = groups;
  for (size_t i = 0; i < spatial; ++i) {
    const size_t to = 3 - spatial + i;
    shape.in[to] = in[2 + i];
    shape.out[to] = out[2 + i];
    shape.kernel[to] = window.kernel[i];
    shape.strides[to] = window.strides[i];
    shape.dilations[to] = window.dilations[i];
    shape.pads_begin[to] = window.pads_begin[i];
    shape.pads_end[to] = window.pads_end[i];
  }
  return shape;
}

void convolve(const WindowedShape& shape, const double* x, const double* w, const double* bias, double* y,
              int threads) {
  convolve_all(shape, false, x, w, bias, y, threads);
}

void convolve_transposed(const WindowedShape& shape, const double* x, const double* w, const double* bias, double* y,
                         int threads) {
  convolve_all(shape, true, x, w, bias, y, threads);
}

void multiply_add(int64_t m, int64_t n, int64_t k, const double* a, const double* b, double* y, int threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t l = 0; l < k; ++l) {
      const double factor = a[i * k + l];
      for (int64_t j = 0; j < n; ++j) y[i * n + j] += factor * b[l * n + j];
    }
  }
}

}  // namespace amct::reference
