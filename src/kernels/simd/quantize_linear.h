// QuantizeLinear and DequantizeLinear of ONNX on arrays with one scale, in float32:
//   y = min(max(round_half_even(x / scale) + zero, low), high)        y = (x - zero) * scale
// Each step rounds by itself, so that results are the same in every bit on every processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace amct {

struct LinearQuantizer {
  float scale = 1;
  int32_t zero = 0;
  int32_t low = 0, high = 0;  // of the integers; used by quantize_linear only, within the range of the type
};

// T is int8_t, uint8_t, int16_t or uint16_t. What NaN gives is not specified.
template <typename T>
void quantize_linear(const float* x, T* y, size_t count, const LinearQuantizer& quantizer);

// T as above, or int32_t with zero point 0.
template <typename T>
void dequantize_linear(const T* x, float* y, size_t count, const LinearQuantizer& quantizer);

// An operand of a sum: bytes that stand for (x - zero) * scale.
struct QuantizedAddend {
  const void* data = nullptr;
  bool is_signed = false;  // int8_t, else uint8_t
  float scale = 1, zero = 0;
};

// y = the quantized sum of a and b in float32; T is int8_t or uint8_t.
template <typename T>
void add_quantized(const QuantizedAddend& a, const QuantizedAddend& b, T* y, size_t count,
                   const LinearQuantizer& quantizer);

}  // namespace amct
