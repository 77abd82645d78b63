// Histogram and SampledHistogram: write and read. What is read is built by counting: the values of the tails and the
// exact counts themselves, and for what else a bucket holds a value that falls into it. So whatever a file says, the
// result is a histogram of some values; where the file is one of ours, it is that of the values that were counted.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "exec/histogram.h"
#include "exec/sampled_histogram.h"

namespace amct {
namespace {

constexpr uint64_t kMostValues = uint64_t{1} << 48;  // far more than anybody counts; sums stay in 64 bits

struct CountedValue {
  float value = 0;
  uint64_t count = 0;
};

// Buckets of one sign: the distance from the one before, the count.
void write_buckets(const LinearHistogram& buckets, bool negative, ByteWriter& out) {
  std::vector<std::pair<uint64_t, uint64_t>> found;
  buckets.for_each(negative, [&](double inner, double, uint64_t count) {
    found.emplace_back(static_cast<uint64_t>(inner / buckets.width()), count);
  });
  out.number(found.size());
  uint64_t next = 0;
  for (const auto& [index, count] : found) {
    out.number(index - next);
    out.number(count);
    next = index + 1;
  }
}

// Of a LinearHistogram or of Extremes: the tail, falling, and how many values equal the largest.
template <typename T>
void write_tail(const T& known, bool negative, ByteWriter& out) {
  const std::vector<uint32_t> tail = known.tail(negative).sorted();
  out.number(tail.size());
  uint32_t before = 0x7f800000u;
  for (const uint32_t magnitude : tail) {
    out.number(before - magnitude);
    before = magnitude;
  }
  if (!tail.empty()) out.number(known.largest_count(negative));
}

struct ReadTail {
  std::vector<float> magnitudes;  // falling
  uint64_t largest_count = 0;

  static ReadTail read(ByteReader& in, size_t capacity) {
    ReadTail tail;
    const size_t kept = in.number(capacity);
    uint32_t magnitude = 0x7f800000u;
    for (size_t i = 0; i < kept; ++i) {
      magnitude -= static_cast<uint32_t>(in.number(magnitude - 1));
      if (magnitude >= 0x7f800000u) ByteReader::fail();
      tail.magnitudes.push_back(std::bit_cast<float>(magnitude));
    }
    if (kept == 0) return tail;
    tail.largest_count = in.number(kMostValues);
    if (tail.largest_count == 0) ByteReader::fail();
    return tail;
  }

  // Calls `count` for the values, once each.
  template <typename F>
  void for_each(F&& count) const {
    for (size_t i = 0; i < magnitudes.size(); ++i) {
      if (i == 0) {
        count(magnitudes[0], largest_count);
      } else if (magnitudes[i] != magnitudes[0]) {
        count(magnitudes[i], uint64_t{1});
      }
    }
  }
};

// Reads one sign and counts what it stands for.
class SignReader {
 public:
  // `closest`: the value of this sign that is closest to zero, NaN where it is not known.
  SignReader(LinearHistogram& to, bool negative, float closest) : to_(to), negative_(negative), closest_(closest) {}

  void read(ByteReader& in, size_t capacity) {
    tail_ = ReadTail::read(in, capacity);
    if (tail_.magnitudes.empty()) return;
    uint64_t next = 0;
    const size_t buckets = in.length(2);
    for (size_t i = 0; i < buckets; ++i) {
      const uint64_t index = next + in.number(kSignBuckets - 1);
      if (index >= kSignBuckets) ByteReader::fail();
      buckets_.emplace_back(index, in.number(kMostValues));
      next = index + 1;
    }
  }

  void count_tail() {
    tail_.for_each([&](float magnitude, uint64_t n) { count(magnitude, n); });
  }

  // What the tail does not know one by one; after all tails, which determine the width.
  void count_rest() {
    const std::vector<float>& tail = tail_.magnitudes;
    if (tail.empty()) return;
    const double least = tail.back(), width = to_.width();
    auto known = tail.rbegin();
    for (const auto& [index, all] : buckets_) {
      const double inner = static_cast<double>(index) * width, outer = inner + width;
      const auto in_bucket = [&](double x) { return negative_ ? x > inner && x <= outer : x >= inner && x < outer; };
      uint64_t rest = all;
      while (known != tail.rend() && *known != tail[0] && *known <= outer && (negative_ || *known < outer)) {
        rest -= std::min<uint64_t>(rest, in_bucket(*known++) ? 1 : 0);
      }
      double value = negative_ ? std::min(outer, least) : inner;
      if (negative_ && value == tail[0]) value = std::nextafter(tail[0], 0.0f);  // the largest is in no bucket
      if (in_bucket(closest_)) value = closest_;
      count(std::max(static_cast<float>(value), std::numeric_limits<float>::denorm_min()), rest);
    }
  }

  uint64_t total() const { return total_; }

 private:
  void count(float magnitude, uint64_t count) {
    if (count > kMostValues || total_ > kMostValues) ByteReader::fail();
    total_ += count;
    to_.add(negative_ ? -magnitude : magnitude, count);
  }

  LinearHistogram& to_;
  bool negative_;
  float closest_;
  ReadTail tail_;
  std::vector<std::pair<uint64_t, uint64_t>> buckets_;
  uint64_t total_ = 0;
};

void write_exact(const ValueCounts& counts, ByteWriter& out) {
  std::vector<CountedValue> values;
  counts.for_each([&](float value, uint64_t count) { values.push_back({value, count}); });
  std::sort(values.begin(), values.end(),
            [](const CountedValue& a, const CountedValue& b) { return a.value < b.value; });
  out.number(values.size());
  for (const CountedValue& item : values) {
    out.real(item.value);
    out.number(item.count);
  }
}

}  // namespace

namespace {

bool is_finite(float value) { return (std::bit_cast<uint32_t>(value) & 0x7fffffffu) < 0x7f800000u; }

bool all_finite(const ValueCounts& counts) {
  bool finite = true;
  counts.for_each([&](float value, uint64_t) { finite = finite && is_finite(value); });
  return finite;
}

void read_exact(ByteReader& in, ValueCounts& counts, uint64_t& total) {
  const size_t values = in.number(ValueCounts::kLimit);
  for (size_t i = 0; i < values; ++i) {
    const float value = in.real();
    const uint64_t count = in.number(kMostValues);
    if (!is_finite(value) || total > kMostValues) ByteReader::fail();
    counts.add(value, count);
    total += count;
  }
}

void read_buckets(ByteReader& in, size_t tail_capacity, LinearHistogram& buckets, uint64_t& total) {
  const uint64_t zeros = in.number(kMostValues);
  const auto least = static_cast<uint32_t>(in.fixed(4));
  buckets.add(0.0f, zeros);
  const auto closest_of = [&](bool negative) {
    const bool is_known = least != 0 && (least >> 31) == (negative ? 1 : 0);
    return is_known ? std::bit_cast<float>(least & 0x7fffffffu) : std::numeric_limits<float>::quiet_NaN();
  };
  SignReader signs[] = {{buckets, false, closest_of(false)}, {buckets, true, closest_of(true)}};
  for (SignReader& sign : signs) sign.read(in, tail_capacity);
  for (SignReader& sign : signs) sign.count_tail();
  buckets.settle();
  for (SignReader& sign : signs) sign.count_rest();
  total = zeros + signs[0].total() + signs[1].total();
  if (buckets.least_pattern() != least) ByteReader::fail();
}

// `total`: the values that are known one by one.
void read_extremes(ByteReader& in, size_t tail_capacity, Extremes& extremes, uint64_t& total) {
  const uint64_t zeros = in.number(kMostValues);
  const auto least = static_cast<uint32_t>(in.fixed(4));
  extremes.add(0.0f, zeros);
  total = zeros;
  for (const bool negative : {false, true}) {
    const ReadTail tail = ReadTail::read(in, tail_capacity);
    tail.for_each([&](float magnitude, uint64_t n) {
      extremes.add(negative ? -magnitude : magnitude, n);
      total += n;
    });
  }
  // Closest to zero lies a value that is in no tail.
  if (extremes.least_pattern() != least && is_finite(std::bit_cast<float>(least))) {
    const bool negative = least >> 31;
    if (extremes.tail(negative).kept().size() < tail_capacity) ByteReader::fail();
    extremes.add(std::bit_cast<float>(least), 1);
  }
  if (extremes.least_pattern() != least) ByteReader::fail();
}

}  // namespace

bool Histogram::finite() const { return exact_ ? all_finite(*exact_) : buckets_->finite(); }

void Histogram::write(ByteWriter& out) const {
  out.number(tail_capacity_);
  out.number(count_);
  out.number(exact_ ? 1 : 0);
  if (exact_) return write_exact(*exact_, out);
  buckets_->settle();  // changes the form, not what it stands for
  out.number(buckets_->zeros());
  out.fixed(buckets_->least_pattern(), 4);
  for (const bool negative : {false, true}) {
    write_tail(*buckets_, negative, out);
    if (buckets_->largest(negative) != 0) write_buckets(*buckets_, negative, out);
  }
}

Histogram Histogram::read(ByteReader& in) {
  const size_t tail_capacity = in.number(kMaxTail);
  if (tail_capacity == 0) ByteReader::fail();
  Histogram result(tail_capacity);
  result.count_ = in.number(kMostValues);
  uint64_t total = 0;
  if (in.number(1) == 1) {
    read_exact(in, *result.exact_, total);
  } else {
    result.degrade();
    read_buckets(in, tail_capacity, *result.buckets_, total);
  }
  if (total != result.count_) ByteReader::fail();
  return result;
}

bool SampledHistogram::finite() const { return extremes_.finite() && chosen_.finite(); }

void SampledHistogram::write(ByteWriter& out) const {
  chosen_.write(out);
  out.number(count_);
  out.number(extremes_.zeros());
  out.fixed(extremes_.least_pattern(), 4);
  for (const bool negative : {false, true}) write_tail(extremes_, negative, out);
}

SampledHistogram SampledHistogram::read(ByteReader& in) {
  Histogram chosen = Histogram::read(in);
  SampledHistogram result(chosen.tail_capacity());
  result.chosen_ = std::move(chosen);
  result.count_ = in.number(kMostValues);
  uint64_t total = 0;
  read_extremes(in, result.tail_capacity(), result.extremes_, total);
  if (total > result.count_ || result.chosen_.count() > result.count_) ByteReader::fail();
  return result;
}

}  // namespace amct
