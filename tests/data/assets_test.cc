// Real photographs, against numbers of the Python imaging library 13.0.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/thread_pool.h"
#include "data/source.h"
#include "support/assets.h"

namespace amct {
namespace {

struct Expected {
  size_t index;
  const char* preprocess;
  int64_t crop;
  std::vector<int>
      pixels;  // red of the first, green of row 1's last, blue of (half, third), red and blue of the last row
  int64_t sum;
};

TEST(Photographs, PixelsAreThoseOfTheReference) {
  AMCT_NEEDS_ASSETS();
  const std::vector<Expected> cases = {
      {0, "resize=256,crop=224", 224, {75, 114, 45, 67, 92}, 17192586},
      {0, "resize=128,crop=112", 112, {74, 112, 70, 68, 92}, 4299827},
      {17, "resize=256,crop=224", 224, {118, 168, 125, 151, 76}, 18491477},
      {17, "resize=128,crop=112", 112, {117, 169, 121, 152, 76}, 4625718},
  };
  for (const Expected& expected : cases) {
    const int64_t n = expected.crop;
    DataOptions options;
    options.preprocess = parse_preprocess(expected.preprocess);
    const auto source =
        open_data(testing::assets() / "datasets/imagenet300", {{"x", DType::kUInt8, {1, n, n, 3}}}, options);
    ASSERT_EQ(source->size(), 300u);
    Tensor image = Tensor::allocate(DType::kUInt8, {n, n, 3});
    source->read(expected.index, {image.mutable_view()});
    const auto values = image.values<uint8_t>();
    const auto at = [&](int64_t y, int64_t x, int64_t c) {
      return static_cast<int>(values[static_cast<size_t>((y * n + x) * 3 + c)]);
    };
    EXPECT_EQ(
        (std::vector<int>{at(0, 0, 0), at(1, n - 1, 1), at(n / 2, n / 3, 2), at(n - 1, 0, 0), at(n - 1, n - 1, 2)}),
        expected.pixels);
    EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), expected.sum);
  }
}

TEST(Photographs, EveryOneIsReadAndLabelled) {
  AMCT_NEEDS_ASSETS();
  const auto folder = testing::assets() / "datasets/imagenet300";
  DataOptions options;
  options.preprocess = parse_preprocess("imagenet");
  const std::vector<InputSpec> inputs = {{"x", DType::kFloat32, {1, 3, 224, 224}}};
  const auto source = open_data(folder, inputs, options);
  const auto labels = read_labels(folder / "labels.txt", *source);
  ASSERT_EQ(labels.size(), source->size());
  EXPECT_EQ(labels[1], 4);
  std::vector<float> lowest(source->size());
  parallel_for(source->size(), 2, [&](int, size_t index) {
    Tensor image = Tensor::allocate(DType::kFloat32, {3, 224, 224});
    source->read(index, {image.mutable_view()});
    for (const float value : image.values<float>()) {
      ASSERT_TRUE(value > -2.2f && value < 2.7f);
      lowest[index] = std::min(lowest[index], value);
    }
  });
  for (const float value : lowest) EXPECT_LT(value, 0);
}

}  // namespace
}  // namespace amct
