// What happens to the exact sums of an integer layer before they are stored: dequantization, an addition, limits and
// quantization, in registers instead of one pass through memory each.
//
// Every stage computes what its operator computes alone, each step rounded to float32, so that results equal the
// unfused ones in every bit on every processor:
//   kScale         float(sum) * scales[channel]
//   kClip          min(max(v, low), high)
//   kAdd           v + operand, float32
//   kQuantize      clip(round_half_even(v * scale) + zero, low, high), or v / scale if `divides`
//   kDequantize    (v - zero) * scale
//   kAddQuantized  v + (operand - zero) * scale, operand int8 or uint8
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ir/dtype.h"

namespace amct {

struct IntStage {
  enum class Kind { kScale, kClip, kAdd, kQuantize, kDequantize, kAddQuantized };
  Kind kind = Kind::kScale;
  std::vector<float> scales;  // kScale: one, or one per channel
  float low = 0, high = 0;    // kClip, kQuantize
  float scale = 1, zero = 0;
  bool divides = false;            // kQuantize
  bool operand_is_signed = false;  // kAddQuantized
};

class IntEpilogue {
 public:
  static constexpr size_t kMaxOperands = 2;

  // `stages` begins with kScale, or is empty: the sums themselves are stored. `result` is float32, int8, uint8 or int16
  // (the last three only behind kQuantize), or int32 without stages. At most kMaxOperands additions.
  IntEpilogue(std::vector<IntStage> stages, int64_t channels, DType result);

  // Rows of `channels` elements: where the result goes and where the operands of additions lie, at the same place.
  struct Rows {
    void* y = nullptr;
    std::array<const void*, kMaxOperands> operands{};
  };

  // Sums of channels [first, first + count) of `rows` rows from `row` on, at distance `ld`. Sums may be read up to the
  // next multiple of 16 channels.
  void apply(const int32_t* sums, int64_t ld, int64_t row, int64_t rows, int64_t first, int64_t count,
             const Rows& to) const;

  DType result() const { return result_; }
  int64_t channels() const { return channels_; }
  const std::vector<IntStage>& stages() const { return stages_; }

 private:
  std::vector<IntStage> stages_;
  int64_t channels_;
  DType result_;
};

}  // namespace amct
