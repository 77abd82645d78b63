// SearchN (spec C.7): for hardware that cuts a layer's 32-bit sums to 16 bits before it dequantizes them, the shift N
// that loses least, for each channel or for the whole layer.
//
//   a = round(y / (scale_d scale_w)),   h = clip(floor(a / 2^N), -32768, 32767),   error(N) = sum of (h 2^N - a)^2
//
// over all values y of the layer's result, bias included, N = 1 … 16; of equal errors the smaller N. Sums are exact
// integers, so that they depend neither on the order of samples nor on the number of workers.
//
// The best N of a channel cuts off what lies above the values that were seen: ruin for a classifier, whose classes are
// hardly all among the samples. `safe` takes at least the N with which the largest magnitude of the whole layer fits
// the channel; that leaves steps of 1/32768 of the layer's range, far below those of 8-bit activations.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "ir/tensor.h"

namespace amct {

class ShiftErrors {
 public:
  static constexpr int kShifts = 16;
  using Errors = std::array<__int128, kShifts>;

  // One dequantization scale for the layer, or one per channel.
  explicit ShiftErrors(std::vector<float> scales) : scales_(std::move(scales)), errors_(scales_.size()) {}

  // Counts all values of a layer's result; `channel_axis` is the memory axis of its channels (without meaning for a
  // single scale). Other elements than float32 are ignored.
  void add(const TensorView& result, size_t channel_axis);
  void merge(const ShiftErrors& other);

  const std::vector<Errors>& errors() const { return errors_; }
  // One N per scale: of least error, and that or the least one that holds the layer's range.
  std::vector<int> best() const;
  std::vector<int> safe() const;

 private:
  std::vector<float> scales_;
  std::vector<Errors> errors_;
  float largest_ = 0;  // magnitude of any value
};

// The error of each N = 1 … 16 on one list of sums, added to `errors`.
void add_shift_errors(std::span<const int32_t> sums, ShiftErrors::Errors& errors);

}  // namespace amct
