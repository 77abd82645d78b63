// Quantization of float activations, element by element, in the arithmetic of the exported graphs (Ascend's quantize
// operator and the fake-quantized chain Mul, Round, Add, Clip, Sub):
//   q = clip(round_half_even(x * inv_scale) + offset, low, high)
//   fake_quantize: y = (q - offset) * scale          quantize: y = q
// Every step rounds to float32, so that results equal the exported graph's in every bit on every processor.
// `scale` is a separate factor: 1 gives the chain without its dequantization.
#pragma once

#include <cstddef>
#include <cstdint>

namespace amct {

struct QuantizeSpec {
  float inv_scale = 1;  // float32 of 1 / scale: what the exported graphs multiply by
  float scale = 1;      // used by fake_quantize only
  int32_t offset = 0;
  int32_t low = -128;  // clip range of the integer
  int32_t high = 127;

  // The signed grid of `bits` (2 to 16) with the usual inverse.
  static QuantizeSpec of(float scale, int32_t offset, int bits) {
    return {1.0f / scale, scale, offset, -(1 << (bits - 1)), (1 << (bits - 1)) - 1};
  }
};

// `x` and `y` hold `count` elements each and may be the same memory. Infinities saturate; what NaN gives is not
// specified.
void fake_quantize(const float* x, float* y, size_t count, const QuantizeSpec& spec);
// [low, high] must lie in the range of the output type.
void quantize(const float* x, int8_t* y, size_t count, const QuantizeSpec& spec);
void quantize(const float* x, int16_t* y, size_t count, const QuantizeSpec& spec);

}  // namespace amct
