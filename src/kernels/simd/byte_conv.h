// Convolutions of bytes by byte_dot.h: blocks of output channels times groups of output pixels, windows read where they
// lie in the image, results handed to an epilogue while they are in the cache.
//
// Activations are unsigned here: signed ones are shifted by 128, which moves their zero point as well. With unsigned x
// and zero point z the layer is sum(w * x) + (bias - z * sum(w)), and pads are z. Only images that need pads, another
// layout or another sign are copied.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/simd/byte_dot.h"
#include "kernels/simd/int_conv_shape.h"
#include "kernels/simd/int_epilogue.h"

namespace amct {

// The copy of one sample that a window kernel reads: unsigned integers of one or two bytes, channels last, with pads.
class ByteImage {
 public:
  // `exact` if all bytes that are read at once belong to the window.
  ByteImage(const IntConvShape& shape, bool exact, int value_bytes = 1);
  // True if x can be read where it lies.
  bool is_direct() const { return direct_; }
  size_t bytes() const;
  // Sample n of x: a copy in `scratch` (`bytes` long), or its own place.
  const uint8_t* sample(const IntInput& x, int64_t n, uint8_t* scratch) const;
  // The first elements of the windows of `count` output pixels from pixel `first` on, every `pixel_step`th, of a sample
  // at `image`. Steps do not lead past the beginning of a row.
  void windows(const uint8_t* image, int64_t first, int64_t count, int64_t pixel_step, const uint8_t** x) const;
  // window_offsets in bytes.
  std::vector<int64_t> positions(bool join_rows) const;

 private:
  IntConvShape shape_;
  IntConvShape::Spatial extents_;
  int64_t value_bytes_;
  bool direct_;
};

// The zero point of x as an unsigned byte.
inline int32_t unsigned_zero(const IntInput& x) { return x.type == IntInput::Type::kInt8 ? x.zero + 128 : x.zero; }

// How many of `count` pixels or rows one task takes: all of them for one thread, else two tasks a thread, none below
// `least`. At least 1, for a result of no elements too.
inline int64_t task_chunk(int64_t count, int64_t least, int threads) {
  const int64_t chunk = threads == 1 ? count : (count + 2 * threads - 1) / (2 * threads);
  return std::max(chunk, threads == 1 ? int64_t{1} : least);
}

// start[o] = bias[o] - zero * weight_sums[o] modulo 2^32; no bias if null.
void start_values(std::span<const int64_t> weight_sums, const int32_t* bias, int32_t zero, int32_t* start);

inline bool all_bytes(std::span<const int16_t> weights) {
  return std::all_of(weights.begin(), weights.end(), [](int16_t w) { return w >= -128 && w <= 127; });
}

class ByteConv {
 public:
  // `weights`: (out, spatial, in / group), all of them within int8 if those of `dot` have one byte.
  ByteConv(const IntConvShape& shape, const ByteDot& dot, std::span<const int16_t> weights);
  size_t scratch_bytes() const { return image_.bytes(); }
  const char* kernel() const { return dot_.name; }
  // `start` as above, one value per output channel; `scratch` holds `scratch_bytes`. Results are channels last.
  void run(const IntInput& x, const int32_t* start, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
           int threads, uint8_t* scratch) const;

 private:
  struct Task;
  void run_task(const Task& task) const;

  IntConvShape shape_;
  ByteDot dot_;
  ByteImage image_;
  std::vector<int64_t> runs_;
  int64_t run_bytes_;
  std::vector<ByteBlock> blocks_;  // of all groups
};

}  // namespace amct
