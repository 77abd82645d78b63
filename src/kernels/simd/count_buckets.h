// The loop that observing spends its time in: values into linear buckets, a chunk of some kilobytes at a time.
//
// The bucket of x is floor(x / width) with a power of two as width. First the buckets of the chunk are written densely,
// without zeros and without values that equal the largest of their sign (they are counted in registers: after ReLU or
// Clip they are much of the mass, and runs of equal buckets would wait for each other's store); then the counters are
// incremented. Extremes are found on the way, so that a chunk with values beyond what is expected is told before
// anything has been counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace amct {

constexpr int kBucketBits = 13;
constexpr size_t kSignBuckets = size_t{1} << kBucketBits;  // of each sign
constexpr size_t kCountChunk = 1024;                       // values that one call takes

// Magnitudes are float32 bit patterns without the sign. Index 0 is positive, 1 negative.
using Magnitudes = std::array<uint32_t, 2>;

struct ChunkRange {
  Magnitudes largest = {0, 0};   // 0 = no value of this sign
  uint32_t least = 0xffffffffu;  // smallest bit pattern: the least value that is not negative, else the last below zero
};

struct BucketCounts {
  uint32_t* counters;          // 2 * kSignBuckets; the bucket that begins at 0 is counters[kSignBuckets]
  float inverse_width;         // a power of two
  Magnitudes largest;          // counted apart; 0 = none
  Magnitudes expected;         // below kSignBuckets * width: a chunk that holds more is not counted
  uint64_t zeros = 0;          // added to
  uint64_t equal[2] = {0, 0};  // values that equal `largest`, added to
};

// True if every value of the chunk is as expected and has been counted; otherwise nothing has changed.
bool count_chunk(std::span<const float> values, BucketCounts& counts, ChunkRange& range);

// The same for a chunk of finite values that were not expected, none larger than `largest`: those of magnitude `bound`
// and beyond stay out of the buckets.
void count_chunk_below(std::span<const float> values, uint32_t bound, BucketCounts& counts);

// Bit patterns of the values larger than `expected`, in order; returns their number. `patterns` has room for
// kCountChunk + 64.
size_t find_larger(std::span<const float> values, const Magnitudes& expected, uint32_t* patterns);

}  // namespace amct
