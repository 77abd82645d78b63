#include "data/prefetch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"

namespace amct {
namespace {

// Sample i is {i, i + 0.5}; slow and uneven; counts how many were read.
class Numbers : public DataSource {
 public:
  explicit Numbers(size_t size) : size_(size) {}
  size_t size() const override { return size_; }
  std::vector<Dims> sample_dims() const override { return {Dims{2}}; }
  std::vector<Dims> sample_dims(size_t index) const override {
    return {Dims{index == odd_one ? int64_t{3} : int64_t{2}}};
  }
  void read(size_t index, const std::vector<MutableView>& destination) const override {
    std::this_thread::sleep_for(std::chrono::microseconds(index * 7919 % 300));
    ++reads;
    if (index == broken) throw Error(ErrorCode::kInput, "sample " + std::to_string(index) + " is broken");
    auto* values = destination[0].as<float>();
    values[0] = static_cast<float>(index);
    values[1] = static_cast<float>(index) + 0.5f;
  }
  std::string sample_name(size_t index) const override { return std::to_string(index); }

  mutable std::atomic<size_t> reads{0};
  size_t broken = static_cast<size_t>(-1);
  size_t odd_one = static_cast<size_t>(-1);

 private:
  size_t size_;
};

const std::vector<InputSpec> kInputs = {{"x", DType::kFloat32, {1, 2}}};

PrefetchOptions options(size_t count, size_t batch, int threads) {
  PrefetchOptions result;
  result.count = count;
  result.batch = batch;
  result.threads = threads;
  return result;
}

TEST(Prefetch, InOrderWithAPaddedTail) {
  const Numbers source(23);
  PrefetchOptions chosen = options(100, 4, 3);
  chosen.first = 2;
  Prefetcher prefetcher(source, kInputs, chosen);
  EXPECT_EQ(prefetcher.samples(), 21u);
  for (size_t b = 0; b < 6; ++b) {
    const auto batch = prefetcher.next();
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->index(), b);
    EXPECT_EQ(batch->first(), 2 + 4 * b);
    EXPECT_EQ(batch->valid(), b < 5 ? 4u : 1u);
    const Tensor& x = batch->inputs()[0];
    ASSERT_EQ(x.dims(), (Dims{4, 2}));
    for (size_t row = 0; row < 4; ++row) {
      const size_t sample = 2 + 4 * b + std::min(row, batch->valid() - 1);
      EXPECT_EQ(x.values<float>()[2 * row], static_cast<float>(sample));
      EXPECT_EQ(x.values<float>()[2 * row + 1], static_cast<float>(sample) + 0.5f);
    }
  }
  EXPECT_FALSE(prefetcher.next());
}

TEST(Prefetch, AShorterTailWithoutPadding) {
  const Numbers source(5);
  PrefetchOptions chosen = options(5, 3, 2);
  chosen.pad = false;
  Prefetcher prefetcher(source, kInputs, chosen);
  EXPECT_EQ(prefetcher.next()->inputs()[0].dims(), (Dims{3, 2}));
  EXPECT_EQ(prefetcher.next()->inputs()[0].dims(), (Dims{2, 2}));
  EXPECT_FALSE(prefetcher.next());
}

TEST(Prefetch, SeveralConsumersGetEverythingOnce) {
  const Numbers source(200);
  Prefetcher prefetcher(source, kInputs, options(200, 1, 2));
  std::mutex mutex;
  std::set<float> seen;
  std::vector<std::jthread> consumers;
  for (int i = 0; i < 3; ++i) {
    consumers.emplace_back([&] {
      while (const auto batch = prefetcher.next()) {
        const float value = batch->inputs()[0].values<float>()[0];
        EXPECT_EQ(value, static_cast<float>(batch->first()));
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(seen.insert(value).second);
      }
    });
  }
  consumers.clear();
  EXPECT_EQ(seen.size(), 200u);
}

TEST(Prefetch, ReadsNoFurtherAheadThanTheRing) {
  const Numbers source(1000);
  PrefetchOptions chosen = options(1000, 2, 2);
  chosen.depth = 3;
  Prefetcher prefetcher(source, kInputs, chosen);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(source.reads, 6u);
  const auto batch = prefetcher.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(source.reads, 6u);  // the batch is still held
}

TEST(Prefetch, AFaultComesInItsTurnAndEndsTheStream) {
  Numbers source(50);
  source.broken = 7;
  Prefetcher prefetcher(source, kInputs, options(50, 1, 3));
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(prefetcher.next());
  EXPECT_THROW(prefetcher.next(), Error);
  EXPECT_FALSE(prefetcher.next());
}

TEST(Prefetch, LeavingEarlyIsFine) {
  const Numbers source(500);
  Prefetcher prefetcher(source, kInputs, options(500, 1, 2));
  EXPECT_TRUE(prefetcher.next());
}

TEST(Prefetch, NothingToRead) {
  const Numbers source(0);
  Prefetcher prefetcher(source, kInputs, options(10, 4, 2));
  EXPECT_FALSE(prefetcher.next());
}

TEST(Prefetch, SamplesOfDifferentSize) {
  Numbers source(6);
  source.odd_one = 3;
  Prefetcher single(source, kInputs, options(6, 1, 1));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(single.next()->inputs()[0].dims(), (Dims{1, i == 3 ? 3 : 2}));
  Prefetcher pairs(source, kInputs, options(6, 2, 1));
  EXPECT_TRUE(pairs.next());
  EXPECT_THROW(pairs.next(), Error);
}

}  // namespace
}  // namespace amct
