// What Histogram::write writes reads back as a histogram that finishes, merges and writes to the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"
#include "exec/channel_max.h"
#include "exec/channel_sums.h"
#include "exec/histogram.h"
#include "exec/observer.h"
#include "exec/sampled_histogram.h"
#include "exec/value_kinds.h"

namespace amct::testing {
namespace {

constexpr size_t kTail = 32;

std::string bytes_of(const Histogram& histogram) {
  ByteWriter out;
  histogram.write(out);
  return out.take();
}

Histogram read_again(const std::string& bytes) {
  ByteReader in(std::as_bytes(std::span(bytes)));
  Histogram histogram = Histogram::read(in);
  EXPECT_TRUE(in.at_end());
  return histogram;
}

class HistogramBytes : public ::testing::TestWithParam<Kind> {};

TEST_P(HistogramBytes, ReadBackFinishesToTheSameBits) {
  for (const size_t count : {0, 1, 17, 31, 32, 33, 1500, 5003, 200001}) {
    SCOPED_TRACE(count);
    const Histogram histogram = of(draw(GetParam(), count, 3 + static_cast<unsigned>(count)));
    const std::string bytes = bytes_of(histogram);
    const Histogram again = read_again(bytes);
    EXPECT_EQ(again.finish(), histogram.finish());
    EXPECT_EQ(bytes_of(again), bytes);
    EXPECT_LT(bytes.size(), 60000u);
  }
}

// Halves of the values, written, read and merged either way, against all values at once.
TEST_P(HistogramBytes, PartsThatWereReadMergeLikeThoseThatWereNot) {
  for (const size_t count : {5, 40, 3000, 70001}) {
    for (const size_t cut : {size_t{0}, count / 7, count / 2, count - 1}) {
      SCOPED_TRACE(::testing::Message() << count << " values, cut at " << cut);
      const std::vector<float> all = draw(GetParam(), count, 11 + static_cast<unsigned>(count));
      const auto at = all.begin() + static_cast<ptrdiff_t>(cut);
      const std::string first = bytes_of(of({all.begin(), at})), second = bytes_of(of({at, all.end()}));
      Histogram forward = read_again(first), backward = read_again(second);
      forward.merge(read_again(second));
      backward.merge(read_again(first));
      const Histogram whole = of(all);
      EXPECT_EQ(forward.finish(), whole.finish());
      EXPECT_EQ(backward.finish(), whole.finish());
      EXPECT_EQ(bytes_of(forward), bytes_of(whole));
      EXPECT_EQ(bytes_of(backward), bytes_of(whole));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HistogramBytes,
                         ::testing::Values(Kind::kNormal, Kind::kRelu, Kind::kRelu6, Kind::kClipBoth, Kind::kNegative,
                                           Kind::kPositive, Kind::kTiny, Kind::kWide, Kind::kLevels,
                                           Kind::kConstantAndNoise));

TEST(HistogramBytes, WhatWasReadGoesOnCounting) {
  const std::vector<float> all = draw(Kind::kWide, 60000, 5);
  Histogram resumed = read_again(bytes_of(of({all.begin(), all.begin() + 20000})));
  resumed.add(std::span(all).subspan(20000));
  EXPECT_EQ(resumed.finish(), of(all).finish());
}

TEST(HistogramBytes, KnowsValuesThatAreNotFinite) {
  EXPECT_TRUE(of({1, 2}).finite());
  EXPECT_FALSE(of({1, std::numeric_limits<float>::quiet_NaN()}).finite());
  std::vector<float> many = draw(Kind::kNormal, 5000, 1);
  many[3000] = -std::numeric_limits<float>::infinity();
  EXPECT_FALSE(of(many).finite());
}

// Bytes changed and cut at random: a histogram or Error(kInput), and what is read writes and finishes.
TEST(HistogramBytes, SurvivesEveryDamage) {
  std::mt19937 random(9);
  for (const Kind kind : {Kind::kNormal, Kind::kLevels, Kind::kRelu}) {
    const std::string bytes = bytes_of(of(draw(kind, 5000, 2)));
    int accepted = 0, refused = 0;
    for (int i = 0; i < 2000; ++i) {
      std::string damaged = bytes.substr(0, i % 3 == 0 ? random() % bytes.size() : bytes.size());
      for (unsigned n = random() % 4; n > 0 && !damaged.empty(); --n) {
        damaged[std::min<size_t>(random() % damaged.size(), random() % 300)] = static_cast<char>(random());
      }
      ByteReader in(std::as_bytes(std::span(damaged)));
      try {
        const Histogram read = Histogram::read(in);
        ++accepted;
        EXPECT_EQ(read_again(bytes_of(read)).finish(), read.finish());
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInput) << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, 500);
    EXPECT_GT(accepted, 5);
  }
}

// An observer that counts one row of five into buckets, in images of 9 channels, in parts of all sizes.
TEST_P(HistogramBytes, SampledObserversThatWereReadMergeLikeThoseThatWereNot) {
  constexpr int64_t kEvery = 5, kImages = 6;
  for (const int64_t rows : {1, 40, 2000}) {
    SCOPED_TRACE(rows);
    const Dims dims{1, rows, 9};
    const std::vector<float> values = draw(GetParam(), static_cast<size_t>(kImages * rows * 9), 21);
    const auto show = [&](Observer& observer, int64_t image) {
      observer.observe({DType::kFloat32, dims, reinterpret_cast<const std::byte*>(values.data() + image * rows * 9)});
    };
    const auto again = [](const Observer& observer) {
      ByteWriter out;
      observer.write(out);
      ByteReader in(std::as_bytes(std::span(out.bytes())));
      Observer read = Observer::read(in);
      EXPECT_TRUE(in.at_end());
      ByteWriter second;
      read.write(second);
      EXPECT_EQ(second.bytes(), out.bytes());
      return read;
    };
    Observer whole(kTail, kEvery), merged(kTail, kEvery);
    for (int64_t image = 0; image < kImages; ++image) show(whole, image);
    for (const int64_t cut : {int64_t{4}, int64_t{1}, int64_t{0}}) {
      Observer part(kTail, kEvery);
      for (int64_t image = cut; image < (cut == 4 ? kImages : cut == 1 ? 4 : 1); ++image) show(part, image);
      EXPECT_EQ(again(part).finish(), part.finish());
      EXPECT_TRUE(merged.merges_with(again(part)));
      merged.merge(again(part));
    }
    EXPECT_EQ(merged.finish(), whole.finish());
    EXPECT_EQ(again(merged).finish(), whole.finish());
  }
}

// Where all other values are negative -0 is the largest. It must count as +0 whenever it comes: before the values are
// too many to be kept one by one, after that, or in another part.
TEST(HistogramBytes, NegativeZeroIsZero) {
  std::vector<float> values = draw(Kind::kNegative, 9000, 5);
  values.push_back(-0.0f);
  const std::span<const float> late = values, head = late.first(7000), tail = late.subspan(7000);
  std::vector<float> early(values.rbegin(), values.rend());
  Histogram whole(kTail), parts = of({head.begin(), head.end()}), last(kTail);
  whole.add(early);
  last.add(tail);
  EXPECT_EQ(of(values).finish(), whole.finish());
  EXPECT_EQ(read_again(bytes_of(of(values))).finish(), whole.finish());
  parts.merge(read_again(bytes_of(last)));
  EXPECT_EQ(parts.finish(), whole.finish());

  const auto sampled = [](std::span<const float> x) {
    SampledHistogram histogram(kTail);
    histogram.add_all(x);
    return histogram;
  };
  const auto again = [](const SampledHistogram& histogram) {
    ByteWriter out;
    histogram.write(out);
    ByteReader in(std::as_bytes(std::span(out.bytes())));
    return SampledHistogram::read(in);
  };
  const Distribution expected = sampled(early).finish();
  SampledHistogram sum = sampled(head);
  sum.merge(again(sampled(tail)));
  EXPECT_EQ(sampled(values).finish(), expected);
  EXPECT_EQ(again(sampled(values)).finish(), expected);
  EXPECT_EQ(sum.finish(), expected);
}

TEST(ChannelBytes, ReadBackMergesToTheSameBits) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0.3f, 40.0f);
  const Dims dims{3, 5, 7};
  std::vector<float> values(static_cast<size_t>(element_count(dims)));
  ChannelSums whole, parts;
  ChannelMax all, most;
  for (int i = 0; i < 4; ++i) {
    std::generate(values.begin(), values.end(), [&] { return normal(random); });
    const TensorView view{DType::kFloat32, dims, reinterpret_cast<const std::byte*>(values.data())};
    ChannelSums sums;
    ChannelMax maximum;
    whole.add(view, 1);
    all.add(view, 1);
    sums.add(view, 1);
    maximum.add(view, 1);
    ByteWriter out;
    sums.write(out);
    maximum.write(out);
    ByteReader in(std::as_bytes(std::span(out.bytes())));
    parts.merge(ChannelSums::read(in));
    most.merge(ChannelMax::read(in));
    EXPECT_TRUE(in.at_end());
  }
  EXPECT_EQ(parts.means(), whole.means());
  EXPECT_EQ(parts.means().size(), 5u);
  EXPECT_EQ(most.values(), all.values());
}

TEST(ChannelBytes, RefusesWhatNobodyWrote) {
  const auto refused = [](const std::string& bytes) {
    ByteReader in(std::as_bytes(std::span(bytes)));
    EXPECT_THROW(ChannelSums::read(in), Error);
  };
  refused("");
  refused(std::string("\x03\x01\x00", 3));                            // values without channels
  refused(std::string("\x01\x01\xff\xff\xff\xff\x0f", 7));            // more channels than bytes
  refused(std::string("\x01\x01\x01", 3) + std::string(16, '\x7f'));  // a sum beyond all sums
  const std::string negative("\x01\x00\x00\x80\xbf", 5);
  ByteReader in(std::as_bytes(std::span(negative)));
  EXPECT_THROW(ChannelMax::read(in), Error);
}

}  // namespace
}  // namespace amct::testing
