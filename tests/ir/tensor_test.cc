#include "ir/tensor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>

namespace amct {
namespace {

// Floats at an odd address, and the memory they lie in.
struct Misplaced {
  std::shared_ptr<std::vector<std::byte>> memory = std::make_shared<std::vector<std::byte>>(64);
  std::vector<float> values = std::vector<float>(7);
  Tensor tensor;

  Misplaced() {
    std::iota(values.begin(), values.end(), -2.5f);
    std::memcpy(memory->data() + 3, values.data(), 28);
    tensor = Tensor(DType::kFloat32, {7}, std::shared_ptr<const std::byte>(memory, memory->data() + 3));
  }
};

template <typename T>
bool fits(const T* address) {
  return reinterpret_cast<uintptr_t>(address) % alignof(T) == 0;
}

TEST(Tensor, StaysWhereItLiesUntilItIsComputedWith) {
  const Misplaced m;
  EXPECT_FALSE(m.tensor.is_resident());
  EXPECT_FALSE(m.tensor.is_deferred());
  EXPECT_EQ(m.tensor.byte_size(), 28u);
  EXPECT_EQ(m.tensor.bytes().data(), m.memory->data() + 3);
  EXPECT_FALSE(m.tensor.is_resident());
  const Tensor copy = m.tensor.reshaped({7, 1});
  const auto values = copy.values<float>();
  EXPECT_TRUE(fits(values.data()));
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()), m.values);
  EXPECT_TRUE(m.tensor.is_resident()) << "copies share what was brought into memory";
  EXPECT_EQ(m.tensor.view().data, values.data());
  EXPECT_EQ(m.tensor.to_doubles()[6], m.values[6]);
  EXPECT_TRUE(m.tensor.same_bytes(Tensor::of<float>({7}, m.values)));
}

TEST(Tensor, BytesNeedNoAlignment) {
  auto memory = std::make_shared<std::vector<std::byte>>(16);
  const Tensor tensor(DType::kInt8, {5}, std::shared_ptr<const std::byte>(memory, memory->data() + 3));
  EXPECT_TRUE(tensor.is_resident());
  EXPECT_EQ(static_cast<const void*>(tensor.values<int8_t>().data()), memory->data() + 3);
}

TEST(Tensor, AResidentCopyGoesWithItsHolder) {
  const Misplaced m;
  {
    const Tensor a = m.tensor.resident();
    const Tensor b = m.tensor.resident();
    EXPECT_TRUE(a.is_resident());
    EXPECT_TRUE(fits(a.values<float>().data()));
    EXPECT_EQ(a.identity(), b.identity()) << "there is one at a time";
    EXPECT_EQ(a.values<float>()[3], m.values[3]);
  }
  EXPECT_FALSE(m.tensor.is_resident());
}

TEST(Tensor, DeferredOnesAreMadeWhenAsked) {
  int made = 0;
  const Tensor tensor = Tensor::deferred(DType::kInt32, {2, 3}, [&] {
    ++made;
    return Tensor::of<int32_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  });
  EXPECT_TRUE(tensor.is_deferred());
  EXPECT_EQ(tensor.type().shape.to_string(), "[2, 3]");
  EXPECT_EQ(tensor.byte_size(), 24u);
  EXPECT_EQ(made, 0);
  EXPECT_EQ(tensor.resident().to_int64s(), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(tensor.resident().size(), 6);
  EXPECT_EQ(made, 2) << "each time, as nobody held the first";
  const Tensor copy = tensor;
  EXPECT_EQ(copy.values<int32_t>()[5], 6);
  EXPECT_EQ(tensor.values<int32_t>()[4], 5);
  EXPECT_EQ(made, 3) << "for good";
  EXPECT_FALSE(tensor.is_deferred());
}

TEST(Tensor, NumbersOutOfAnIntegersRangeStopAtItsEnds) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor tensor = Tensor::of<double>({7}, {-1.9, 1.9, std::nan(""), infinity, -infinity, 0x1p63, -0x1p63});
  const int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(tensor.to_int64s(), (std::vector<int64_t>{-1, 1, 0, most, least, most, least}));
  EXPECT_EQ(tensor.cast(DType::kInt64).to_int64s(), tensor.to_int64s());
  EXPECT_EQ(tensor.cast(DType::kInt8).to_int64s(), (std::vector<int64_t>{-1, 1, 0, -1, 0, -1, 0})) << "the low bits";
  EXPECT_EQ(tensor.cast(DType::kUInt64).values<uint64_t>()[5], uint64_t{1} << 63);
  EXPECT_EQ(tensor.cast(DType::kBool).to_int64s(), (std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1}));
}

TEST(Tensor, ADeferredTensorMustKeepItsType) {
  const Tensor tensor = Tensor::deferred(DType::kInt32, {2}, [] { return Tensor::of<float>({2}, {1, 2}); });
  EXPECT_THROW(tensor.resident(), Error);
}

TEST(Tensor, AFailureToMakeOneMayBeFollowedBySuccess) {
  bool fails = true;
  const Tensor tensor = Tensor::deferred(DType::kFloat32, {1}, [&] {
    if (fails) throw Error(ErrorCode::kResource, "no memory");
    return Tensor::of<float>({1}, {5});
  });
  EXPECT_THROW(tensor.values<float>(), Error);
  fails = false;
  EXPECT_EQ(tensor.values<float>()[0], 5);
}

TEST(Tensor, ThreadsShareOneResidentCopy) {
  std::atomic<int> made = 0;
  const Tensor tensor = Tensor::deferred(DType::kFloat32, {1000}, [&] {
    ++made;
    return Tensor::of<float>({1000}, std::vector<float>(1000, 2.0f));
  });
  const Tensor held = tensor.resident();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) {
        EXPECT_EQ(tensor.resident().values<float>()[999], 2.0f);
        EXPECT_EQ(tensor.values<float>()[0], 2.0f);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace amct
