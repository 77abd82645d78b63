#include "kernels/index/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "ir/dispatch.h"
#include "kernels/index/mapped.h"
#include "kernels/index/strided.h"

namespace amct {
namespace {

// The neighbours of one output position: `taps` consecutive input positions from `first`, each with a weight.
struct AxisWeights {
  int64_t taps = 0;
  std::vector<int64_t> positions;  // output x taps, inside the input
  std::vector<float> weights;
  std::vector<bool> outside;  // the whole position takes the extrapolation value
  bool identity = false;
};

double coordinate(const ResizeRule& rule, const ResizeAxis& axis, int64_t x) {
  const auto at = static_cast<double>(x);
  const auto extent = static_cast<double>(axis.input);
  const double length = axis.scale * extent;
  const double half_pixel = (at + 0.5) / axis.scale - 0.5;
  switch (rule.coordinates) {
    case Coordinates::kHalfPixel: return half_pixel;
    case Coordinates::kHalfPixelSymmetric:
      return extent / 2 * (1 - static_cast<double>(axis.output) / length) + half_pixel;
    case Coordinates::kPytorchHalfPixel: return length == 1 ? -0.5 : half_pixel;
    case Coordinates::kAlignCorners: return length == 1 ? 0 : at * (extent - 1) / (length - 1);
    case Coordinates::kAsymmetric: return at / axis.scale;
    case Coordinates::kTfHalfPixelForNn: return (at + 0.5) / axis.scale;
    case Coordinates::kTfCropAndResize: break;
  }
  const double width = axis.roi_end - axis.roi_begin;
  return axis.roi_begin * (extent - 1) +
         (length == 1 ? width * (extent - 1) / 2 : at * width * (extent - 1) / (length - 1));
}

int64_t rounded(NearestRounding rounding, double x, double scale) {
  switch (rounding) {
    case NearestRounding::kRoundPreferFloor: return static_cast<int64_t>(std::ceil(x - 0.5));
    case NearestRounding::kRoundPreferCeil: return static_cast<int64_t>(std::floor(x + 0.5));
    case NearestRounding::kFloor: return static_cast<int64_t>(std::floor(x));
    case NearestRounding::kCeil: return static_cast<int64_t>(std::ceil(x));
    case NearestRounding::kCeilWhenShrinking: break;
  }
  return static_cast<int64_t>(scale < 1 ? std::ceil(x) : std::floor(x));
}

double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

AxisWeights nearest_weights(const ResizeRule& rule, const ResizeAxis& axis) {
  AxisWeights result;
  result.taps = 1;
  result.identity = axis.input == axis.output;
  for (int64_t x = 0; x < axis.output; ++x) {
    const double at = coordinate(rule, axis, x);
    const int64_t position = std::clamp<int64_t>(rounded(rule.rounding, at, axis.scale), 0, axis.input - 1);
    result.positions.push_back(position);
    result.weights.push_back(1);
    result.identity = result.identity && position == x;
    result.outside.push_back(rule.coordinates == Coordinates::kTfCropAndResize &&
                             (at < 0 || at > static_cast<double>(axis.input - 1)));
  }
  return result;
}

// Linear and cubic. The filter is a function of the distance in input positions; for antialiasing it is stretched by
// 1 / scale, so that every input position has its share.
AxisWeights filter_weights(const ResizeRule& rule, const ResizeAxis& axis) {
  const double radius = rule.mode == Interpolation::kLinear ? 1 : 2;
  const double stretch = rule.antialias ? std::min(axis.scale, 1.0) : 1;
  AxisWeights result;
  result.identity = axis.input == axis.output;
  const auto before = static_cast<int64_t>(std::floor(-radius / stretch)) + 1;
  result.taps = 2 * (1 - before);
  for (int64_t x = 0; x < axis.output; ++x) {
    const double at = coordinate(rule, axis, x);
    const double base = std::floor(at);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t tap = 0; tap < result.taps; ++tap) {
      const int64_t position = static_cast<int64_t>(base) + before + tap;
      const double distance = (static_cast<double>(position) - at) * stretch;
      double weight =
          rule.mode == Interpolation::kLinear ? std::max(0.0, 1 - std::abs(distance)) : cubic(distance, rule.cubic_a);
      if (rule.exclude_outside && (position < 0 || position >= axis.input)) weight = 0;
      sum += weight;
      weights.push_back(weight);
      result.positions.push_back(std::clamp<int64_t>(position, 0, axis.input - 1));
    }
    const bool normalize = rule.antialias || rule.exclude_outside;
    for (const double weight : weights) result.weights.push_back(static_cast<float>(normalize ? weight / sum : weight));
    result.identity = result.identity && at == static_cast<double>(x);
    result.outside.push_back(rule.coordinates == Coordinates::kTfCropAndResize &&
                             (at < 0 || at > static_cast<double>(axis.input - 1)));
  }
  return result;
}

// One axis of a float array seen as (outer, extent, inner).
template <typename F>
void interpolate_axis(const AxisWeights& axis, int64_t outer, int64_t extent, int64_t inner, const F* source,
                      F* target) {
  const auto outputs = static_cast<int64_t>(axis.outside.size());
  for (int64_t o = 0; o < outer; ++o, source += extent * inner) {
    if (axis.taps == 2 && inner == 1) {
      for (size_t x = 0; x < axis.outside.size(); ++x) {
        *target++ = axis.weights[2 * x] * source[axis.positions[2 * x]] +
                    axis.weights[2 * x + 1] * source[axis.positions[2 * x + 1]];
      }
      continue;
    }
    for (int64_t x = 0; x < outputs; ++x, target += inner) {
      const int64_t* positions = axis.positions.data() + x * axis.taps;
      const float* weights = axis.weights.data() + x * axis.taps;
      if (axis.taps == 2) {  // linear, the common case
        const F* a = source + positions[0] * inner;
        const F* b = source + positions[1] * inner;
        const F wa = weights[0], wb = weights[1];
        for (int64_t i = 0; i < inner; ++i) target[i] = wa * a[i] + wb * b[i];
        continue;
      }
      std::fill_n(target, inner, F{0});
      for (int64_t tap = 0; tap < axis.taps; ++tap) {
        const F* row = source + positions[tap] * inner;
        const F weight = weights[tap];
        if (weight == 0) continue;
        for (int64_t i = 0; i < inner; ++i) target[i] += weight * row[i];
      }
    }
  }
}

template <typename T>
T from_real(double value) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (!(value > static_cast<double>(std::numeric_limits<T>::lowest()))) return std::numeric_limits<T>::lowest();
    if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  }
  return static_cast<T>(static_cast<Compute<T>>(value));
}

// Overwrites the slabs of positions whose coordinate lies outside the input.
template <typename T>
void extrapolate(const std::vector<AxisWeights>& weights, const Dims& dims, double value, T* data) {
  const T fill = from_real<T>(value);
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    int64_t outer = 1, inner = 1;
    for (size_t i = 0; i < axis; ++i) outer *= dims[i];
    for (size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
    for (int64_t x = 0; x < dims[axis]; ++x) {
      if (!weights[axis].outside[static_cast<size_t>(x)]) continue;
      for (int64_t o = 0; o < outer; ++o) std::fill_n(data + (o * dims[axis] + x) * inner, inner, fill);
    }
  }
}

// F is the type to compute in: float, or double for doubles and wide integers.
template <typename T, typename F>
void interpolate(const std::vector<AxisWeights>& weights, const Dims& in_dims, const T* input, int64_t count,
                 T* output) {
  std::vector<F> current, next;
  const F* source = nullptr;
  if constexpr (std::is_same_v<T, F>) {
    source = input;
  } else {
    current.resize(static_cast<size_t>(element_count(in_dims)));
    for (size_t i = 0; i < current.size(); ++i) current[i] = static_cast<F>(static_cast<Compute<T>>(input[i]));
    source = current.data();
  }
  // Shrinking axes first, and inner axes first among equals: the fewest elements pass through the later ones.
  std::vector<size_t> order;
  for (size_t axis = in_dims.size(); axis-- > 0;) {
    if (!weights[axis].identity) order.push_back(axis);
  }
  const auto growth = [&](size_t axis) {
    return static_cast<double>(weights[axis].outside.size()) / static_cast<double>(in_dims[axis]);
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return growth(a) < growth(b); });
  Dims dims = in_dims;
  for (const size_t axis : order) {
    int64_t outer = 1, inner = 1;
    for (size_t i = 0; i < axis; ++i) outer *= dims[i];
    for (size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
    const int64_t extent = dims[axis];
    dims[axis] = static_cast<int64_t>(weights[axis].outside.size());
    if constexpr (std::is_same_v<T, F>) {
      if (axis == order.back()) {
        interpolate_axis(weights[axis], outer, extent, inner, source, output);
        return;
      }
    }
    next.resize(static_cast<size_t>(element_count(dims)));
    interpolate_axis(weights[axis], outer, extent, inner, source, next.data());
    std::swap(current, next);
    source = current.data();
  }
  for (int64_t i = 0; i < count; ++i) output[i] = from_real<T>(static_cast<double>(source[i]));
}

}  // namespace

void resize(const ResizeRule& rule, const std::vector<ResizeAxis>& axes, const TensorView& input,
            const MutableView& output) {
  const int64_t count = output.size();
  if (count == 0) return;
  if (input.size() == 0) throw Error(ErrorCode::kInput, "an empty tensor cannot be resized to one with elements");
  const bool nearest = rule.mode == Interpolation::kNearest;
  std::vector<AxisWeights> weights;
  for (const ResizeAxis& axis : axes) {
    weights.push_back(nearest ? nearest_weights(rule, axis) : filter_weights(rule, axis));
  }
  const bool crops = rule.coordinates == Coordinates::kTfCropAndResize;
  if (nearest) {
    const Dims strides = row_major_strides(input.dims);
    std::vector<std::vector<int64_t>> offsets;
    for (size_t axis = 0; axis < axes.size(); ++axis) {
      offsets.push_back(std::move(weights[axis].positions));
      for (int64_t& offset : offsets.back()) offset *= strides[axis];
    }
    copy_mapped(element_bytes(input.dtype), std::move(offsets), input.data, nullptr, output.data);
    if (!crops) return;
  }
  visit_numeric(input.dtype, [&]<typename T>(Tag<T>) {
    constexpr bool kWide = std::is_same_v<T, double> || (std::is_integral_v<T> && sizeof(T) >= 4);
    using F = std::conditional_t<kWide, double, float>;
    const T* in = static_cast<const T*>(input.data);
    T* out = static_cast<T*>(output.data);
    if (!nearest) interpolate<T, F>(weights, input.dims, in, count, out);
    if (crops) extrapolate(weights, output.dims, rule.extrapolation, out);
  });
}

}  // namespace amct
