#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace amct {
namespace {

using Filter = PreprocessSpec::Filter;

constexpr int kFractionBits = 22;  // 255 * 2^22 fits 31 bits

// Weights of one axis for output positions [first, first + count).
struct AxisWeights {
  struct Span {
    int begin = 0;  // first input position
    int count = 0;
    size_t weights = 0;  // index of the first weight
  };
  std::vector<Span> spans;
  std::vector<int32_t> weights;
  int lowest = 0;  // input positions that are read: [lowest, highest)
  int highest = 0;
};

// `extent` is what the input's positions cover: `input`, or less for a reduced picture.
AxisWeights weights_of(int input, double extent, int output, Filter filter, int first, int count) {
  AxisWeights axis;
  const double scale = extent / output;
  const double radius = std::max(scale, 1.0);
  const bool overlap = filter == Filter::kArea && scale > 1;
  axis.lowest = input;
  std::vector<double> raw;
  for (int i = first; i < first + count; ++i) {
    const double centre = (i + 0.5) * scale;
    AxisWeights::Span span;
    int end = 0;
    if (filter == Filter::kNearest) {
      span.begin = std::min(static_cast<int>(centre), input - 1);
      end = span.begin + 1;
    } else if (overlap) {
      span.begin = static_cast<int>(i * scale);
      end = std::min(input, static_cast<int>(std::ceil((i + 1) * scale)));
    } else {
      span.begin = std::max(0, static_cast<int>(centre - radius + 0.5));
      end = std::min(input, static_cast<int>(centre + radius + 0.5));
    }
    raw.clear();
    double sum = 0;
    for (int j = span.begin; j < end; ++j) {
      const double weight = filter == Filter::kNearest ? 1.0
                            : overlap ? std::min(j + 1.0, (i + 1) * scale) - std::max<double>(j, i * scale)
                                      : std::max(0.0, 1.0 - std::abs(j + 0.5 - centre) / radius);
      raw.push_back(weight);
      sum += weight;
    }
    span.count = end - span.begin;
    span.weights = axis.weights.size();
    for (const double weight : raw) {
      axis.weights.push_back(static_cast<int32_t>(std::lround(weight / sum * (1 << kFractionBits))));
    }
    axis.lowest = std::min(axis.lowest, span.begin);
    axis.highest = std::max(axis.highest, end);
    axis.spans.push_back(span);
  }
  return axis;
}

uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(std::clamp((sum + (1 << (kFractionBits - 1))) >> kFractionBits, 0, 255));
}

template <int kChannels>
void filter_row(const uint8_t* source, uint8_t* target, const AxisWeights& axis) {
  for (const auto& span : axis.spans) {
    int32_t sums[kChannels] = {};
    const uint8_t* pixel = source + static_cast<size_t>(span.begin) * kChannels;
    const int32_t* weight = axis.weights.data() + span.weights;
    for (int j = 0; j < span.count; ++j) {
      for (int c = 0; c < kChannels; ++c) sums[c] += weight[j] * pixel[j * kChannels + c];
    }
    for (int c = 0; c < kChannels; ++c) *target++ = rounded(sums[c]);
  }
}

// Rows `first` to `last` of the image, with the columns of the window.
Image filter_columns(const Image& image, double extent, int width, Filter filter, const Window& window, int first,
                     int last) {
  Image result = {last - first, window.width, image.channels, {}};
  const auto channels = static_cast<size_t>(image.channels);
  const size_t source_row = static_cast<size_t>(image.width) * channels;
  const size_t target_row = static_cast<size_t>(window.width) * channels;
  result.pixels.resize(static_cast<size_t>(result.height) * target_row);
  const bool scaled = width != extent;
  const AxisWeights axis =
      scaled ? weights_of(image.width, extent, width, filter, window.left, window.width) : AxisWeights{};
  for (int y = first; y < last; ++y) {
    const uint8_t* source = image.pixels.data() + static_cast<size_t>(y) * source_row;
    uint8_t* target = result.pixels.data() + static_cast<size_t>(y - first) * target_row;
    if (!scaled) {
      std::memcpy(target, source + static_cast<size_t>(window.left) * channels, target_row);
    } else if (channels == 1) {
      filter_row<1>(source, target, axis);
    } else {
      filter_row<3>(source, target, axis);
    }
  }
  return result;
}

}  // namespace

Image resize_window(const Image& image, const ImageSize& original, const ImageSize& size, Filter filter,
                    const Window& window) {
  const double covered_height = static_cast<double>(original.height) / image.reduction;
  const double covered_width = static_cast<double>(original.width) / image.reduction;
  AMCT_CHECK(window.top >= 0 && window.left >= 0 && window.top + window.height <= size.height &&
                 window.left + window.width <= size.width,
             "the window leaves the image");
  AMCT_CHECK(image.channels == 1 || image.channels == 3, "images have one or three channels");
  if (size.height == covered_height) {
    return filter_columns(image, covered_width, size.width, filter, window, window.top, window.top + window.height);
  }
  const AxisWeights axis = weights_of(image.height, covered_height, size.height, filter, window.top, window.height);
  const Image narrow = filter_columns(image, covered_width, size.width, filter, window, axis.lowest, axis.highest);
  const size_t row = static_cast<size_t>(window.width) * static_cast<size_t>(image.channels);
  Image result = {window.height, window.width, image.channels, {}};
  result.pixels.resize(static_cast<size_t>(window.height) * row);
  std::vector<int32_t> sums(row);
  for (size_t y = 0; y < axis.spans.size(); ++y) {
    const auto& span = axis.spans[y];
    std::ranges::fill(sums, 0);
    for (int j = 0; j < span.count; ++j) {
      const uint8_t* source = narrow.pixels.data() + static_cast<size_t>(span.begin - axis.lowest + j) * row;
      const int32_t weight = axis.weights[span.weights + static_cast<size_t>(j)];
      for (size_t x = 0; x < row; ++x) sums[x] += weight * source[x];
    }
    for (size_t x = 0; x < row; ++x) result.pixels[y * row + x] = rounded(sums[x]);
  }
  return result;
}

}  // namespace amct
