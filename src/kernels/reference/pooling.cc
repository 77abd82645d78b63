#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/reference/reference.h"

namespace amct::reference {
namespace {

using Position = std::array<int64_t, 3>;

// Calls f(in_channel, out_index, out_position) for every output, with the input of its channel.
template <typename F>
void for_each_output(const WindowedShape& s, const double* x, int threads, F&& f) {
#pragma omp parallel for num_threads(threads)
  for (int64_t row = 0; row < s.batch * s.in_channels; ++row) {
    int64_t at = row * s.out_size();
    for (int64_t a = 0; a < s.out[0]; ++a) {
      for (int64_t b = 0; b < s.out[1]; ++b) {
        for (int64_t c = 0; c < s.out[2]; ++c) f(row, x + row * s.in_size(), at++, Position{a, b, c});
      }
    }
  }
}

// Calls f(position) for every tap of the window inside the input, and returns the number of taps inside input and pads.
template <typename F>
int64_t for_each_inside(const WindowedShape& s, const Position& out, F&& f) {
  Position begin, padded;
  for (int i = 0; i < 3; ++i) {
    begin[i] = out[i] * s.strides[i] - s.pads_begin[i];
    const int64_t room = s.in[i] + s.pads_end[i] - begin[i];
    padded[i] = std::clamp<int64_t>((room + s.dilations[i] - 1) / s.dilations[i], 0, s.kernel[i]);
  }
  for (int64_t a = 0; a < s.kernel[0]; ++a) {
    const int64_t ia = begin[0] + a * s.dilations[0];
    if (ia < 0 || ia >= s.in[0]) continue;
    for (int64_t b = 0; b < s.kernel[1]; ++b) {
      const int64_t ib = begin[1] + b * s.dilations[1];
      if (ib < 0 || ib >= s.in[1]) continue;
      for (int64_t c = 0; c < s.kernel[2]; ++c) {
        const int64_t ic = begin[2] + c * s.dilations[2];
        if (ic >= 0 && ic < s.in[2]) f(Position{ia, ib, ic});
      }
    }
  }
  return padded[0] * padded[1] * padded[2];
}

int64_t offset(const WindowedShape& s, const Position& at) { return (at[0] * s.in[1] + at[1]) * s.in[2] + at[2]; }

// First axis fastest. The leading axes of extent 1 that were added count nothing.
int64_t column_major_offset(const WindowedShape& s, const Position& at) {
  return at[0] + s.in[0] * (at[1] + s.in[1] * at[2]);
}

}  // namespace

void max_pool(const WindowedShape& s, const double* x, double* y, int64_t* indices, bool column_major, int threads) {
  for_each_output(s, x, threads, [&](int64_t row, const double* in, int64_t at, const Position& position) {
    double best = -std::numeric_limits<double>::infinity();
    int64_t best_index = 0;
    bool first = true;
    for_each_inside(s, position, [&](const Position& tap) {
      const double value = in[offset(s, tap)];
      if (!first && !(value > best)) return;
      first = false;
      best = value;
      best_index = column_major ? column_major_offset(s, tap) : offset(s, tap);
    });
    y[at] = best;
    if (indices != nullptr) indices[at] = row * s.in_size() + best_index;
  });
}

void average_pool(const WindowedShape& s, const double* x, double* y, bool padded, bool divide, int threads) {
  for_each_output(s, x, threads, [&](int64_t, const double* in, int64_t at, const Position& position) {
    double sum = 0;
    int64_t inside = 0;
    const int64_t in_pads = for_each_inside(s, position, [&](const Position& tap) {
      sum += in[offset(s, tap)];
      ++inside;
    });
    const int64_t count = padded ? in_pads : inside;
    y[at] = divide && count > 0 ? sum / static_cast<double>(count) : sum;
  });
}

void lp_pool(const WindowedShape& s, const double* x, double* y, double p, int threads) {
  for_each_output(s, x, threads, [&](int64_t, const double* in, int64_t at, const Position& position) {
    double sum = 0;
    for_each_inside(s, position, [&](const Position& tap) { sum += std::pow(std::abs(in[offset(s, tap)]), p); });
    y[at] = std::pow(sum, 1 / p);
  });
}

}  // namespace amct::reference
