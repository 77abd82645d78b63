// Some of the samples of a source, for a process that takes its share of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "data/source.h"

namespace amct {

inline constexpr int64_t kMostSamples = int64_t{1} << 40;  // that a calibration counts

struct SampleRange {
  int64_t begin = 0;
  int64_t end = 0;  // one behind the last
  int64_t size() const { return end - begin; }
  bool operator==(const SampleRange&) const = default;
};

// Share `number` of `count` (from 1 on) of samples that are taken `rows` at a time: shares are contiguous, differ by at
// most `rows`, and together are all samples. A share is empty where there are more shares than takes.
struct Shard {
  static constexpr int kMost = 1 << 20;  // so that no product with kMostSamples overflows
  int number = 1;
  int count = 1;
  SampleRange of(int64_t samples, int64_t rows) const {
    const int64_t takes = (samples + rows - 1) / rows;
    const auto edge = [&](int64_t n) { return std::min(samples, takes * n / count * rows); };
    return {edge(number - 1), edge(number)};
  }
  bool operator==(const Shard&) const = default;
};

class RangeSource : public DataSource {
 public:
  // `source` must outlive this and hold the range.
  RangeSource(const DataSource& source, SampleRange range) : source_(source), range_(range) {}
  size_t size() const override { return static_cast<size_t>(range_.size()); }
  std::vector<Dims> sample_dims() const override { return source_.sample_dims(); }
  std::vector<Dims> sample_dims(size_t index) const override { return source_.sample_dims(in_source(index)); }
  void read(size_t index, const std::vector<MutableView>& destination) const override {
    source_.read(in_source(index), destination);
  }
  std::string sample_name(size_t index) const override { return source_.sample_name(in_source(index)); }

 private:
  size_t in_source(size_t index) const { return index + static_cast<size_t>(range_.begin); }
  const DataSource& source_;
  SampleRange range_;
};

}  // namespace amct
