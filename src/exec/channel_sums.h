// Sums of a tensor's values per channel over many samples: what bias correction needs of a layer's input.
//
// Each row of the batch is summed by itself, always in the same order, and enters the total as a fixed-point integer
// (2^-40), so that totals do not depend on the order of samples, the batch size or the number of workers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/byte_stream.h"
#include "ir/tensor.h"

namespace amct {

class ChannelSums {
 public:
  // `view` has the batch on axis 0 and channels on `channel_axis` (>= 1) of its memory extents; float32 and float16
  // elements, others are ignored. Values that are not finite make the means empty.
  void add(const TensorView& view, size_t channel_axis);
  // The same for one sample in parts: rows of one value a channel, in order, from when `end_sample` was called last.
  void add_rows(std::span<const float> rows, int64_t channels);
  void end_sample();
  void merge(const ChannelSums& other);

  // One mean per channel; empty if nothing was added.
  std::vector<double> means() const;
  size_t channels() const { return sums_.size(); }  // 0 if nothing was added

  // The sums to the bit. `read` throws Error(kInput).
  void write(ByteWriter& out) const;
  static ChannelSums read(ByteReader& in);

 private:
  void close_block();
  void take(const std::vector<double>& sums, int64_t positions);

  std::vector<__int128> sums_;
  int64_t count_ = 0;  // values per channel
  bool finite_ = true;
  // The sample in progress: rows in blocks, in float, blocks in double.
  std::vector<float> block_;
  std::vector<double> sample_;
  int64_t block_rows_ = 0;
  int64_t sample_rows_ = 0;
};

}  // namespace amct
