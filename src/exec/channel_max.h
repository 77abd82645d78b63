// Largest magnitude of a tensor per channel over many samples: what activation balance needs of a layer's input.
// Merging takes the larger one, so neither order nor number of workers matters.
#pragma once

#include <vector>

#include "base/byte_stream.h"
#include "ir/tensor.h"

namespace amct {

class ChannelMax {
 public:
  // `view` has channels on `channel_axis` of its memory extents; float32 elements only, others are ignored.
  void add(const TensorView& view, size_t channel_axis);
  void merge(const ChannelMax& other);

  const std::vector<float>& values() const { return values_; }  // empty if nothing was added
  bool finite() const;

  // `read` throws Error(kInput).
  void write(ByteWriter& out) const;
  static ChannelMax read(ByteReader& in);

 private:
  std::vector<float> values_;
};

}  // namespace amct
