// Observer: one worker's view of one tensor. Converts whatever element type it is shown to float32 and counts it;
// observers of several workers merge into the statistic of the whole calibration.
//
// Rows are what lies densely on the innermost axis: all channels of a position, where channels come last. Of large
// tensors not every row is counted into buckets (sampled_histogram.h): row r of a sample is when r is a multiple of the
// stride, which has no factor in common with the next axis, so that every column of an image takes part. What is
// counted is gone through a piece at a time that stays in the cache, with everything that is wanted of it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "exec/channel_sums.h"
#include "exec/histogram.h"
#include "exec/sampled_histogram.h"
#include "ir/tensor.h"

namespace amct {

class Observer {
 public:
  // `every`: about how many rows there shall be for one that is counted into buckets, 1 = all.
  explicit Observer(size_t tail_capacity = 256, int64_t every = 1);

  // How many values a search can do with: tensors with more of them have some left out of the buckets.
  static constexpr uint64_t kEnoughValues = uint64_t{1} << 19;
  static constexpr int64_t kMostEvery = 32;
  static int64_t every_for(uint64_t expected_count);

  // Counts all elements; axis 0 is the batch. Floats of 64 bits and integers are rounded to float32. `sums`, if given,
  // takes the counted rows, one value a channel. Throws Error(kUnsupported) for element types without arithmetic.
  void observe(const TensorView& view, ChannelSums* sums = nullptr);
  void merge(const Observer& other);

  // Throws Error(kNumeric) if there was a NaN or an infinity; the caller adds the tensor's name.
  Distribution finish() const { return sampled_ ? sampled_->finish() : histogram_.finish(); }
  bool empty() const { return (sampled_ ? sampled_->count() : histogram_.count()) == 0; }
  size_t tail_capacity() const { return histogram_.tail_capacity(); }
  bool finite() const { return sampled_ ? sampled_->finite() : histogram_.finite(); }
  bool merges_with(const Observer& other) const {
    return every_ == other.every_ && tail_capacity() == other.tail_capacity();
  }

  // What merges and finishes to the same bits; only if it is finite. `read` throws Error(kInput).
  void write(ByteWriter& out) const;
  static Observer read(ByteReader& in);

 private:
  struct Rows;
  void observe_sample(const TensorView& view, int64_t sample, const Rows& rows, ChannelSums* sums);
  std::span<const float> floats(const TensorView& view, size_t begin, size_t count);
  void choose_rows(std::span<const float> piece, int64_t first, const Rows& rows);
  void count_chosen(const Rows& rows, ChannelSums* sums);

  int64_t every_;
  Histogram histogram_;
  std::unique_ptr<SampledHistogram> sampled_;  // instead of the histogram
  std::vector<float> converted_, chosen_;      // about a piece
};

}  // namespace amct
