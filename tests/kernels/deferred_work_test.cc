#include "kernels/deferred_work.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/dnnl/convolution.h"

namespace amct {
namespace {

TEST(DeferredWork, IsKeptByTheInnermostOfTheThread) {
  EXPECT_FALSE(DeferredWork::is_collected());
  int done = 0;
  DeferredWork outer;
  EXPECT_TRUE(DeferredWork::is_collected());
  {
    DeferredWork inner;
    DeferredWork::put_off([&] { done += 10; });
    EXPECT_EQ(inner.take().size(), 1u);
  }
  DeferredWork::put_off([&] { done += 1; });
  EXPECT_EQ(done, 0);
  for (const DeferredWork::Task& task : outer.take()) task();
  EXPECT_EQ(done, 1);
  EXPECT_TRUE(outer.take().empty());
}

// A convolution of 5 channels to 7 with constant weights and bias, made at once and put off.
TEST(DeferredWork, OfAConvolutionGivesTheSameKernel) {
  const auto ramp = [](Dims dims) {
    Tensor tensor = Tensor::allocate(DType::kFloat32, std::move(dims));
    float next = -0.7f;
    for (float& value : tensor.mutable_values<float>()) value = next += 0.013f;
    return tensor;
  };
  const dnn::ConvolutionSpec spec{.src = {{1, 5, 9, 11}, true},
                                  .dst = {{1, 7, 9, 11}, true},
                                  .weight_dims = {7, 5, 3, 3},
                                  .has_bias = true,
                                  .weights = ramp({7, 5, 3, 3}),
                                  .bias = ramp({7}),
                                  .window = {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
                                  .post_ops = {}};
  const Tensor input = ramp({1, 9, 11, 5});
  const auto run = [&](const dnn::Kernel& kernel) {
    std::vector<float> result(7 * 9 * 11);
    Tensor scratch = Tensor::allocate(DType::kUInt8, {static_cast<int64_t>(kernel.scratch_bytes()) + 64});
    const void* const inputs[] = {input.bytes().data(), nullptr, nullptr};
    kernel.bind(inputs, result.data(), scratch.mutable_data())();
    return result;
  };
  const auto at_once = dnn::make_convolution(spec);
  ASSERT_NE(at_once, nullptr);
  DeferredWork work;
  const auto later = dnn::make_convolution(spec);
  ASSERT_NE(later, nullptr);
  EXPECT_EQ(later->implementation(), at_once->implementation());
  EXPECT_EQ(later->scratch_bytes(), at_once->scratch_bytes());
  EXPECT_FALSE(later->reads(1));
  const std::vector<DeferredWork::Task> tasks = work.take();
  EXPECT_FALSE(tasks.empty());
  for (const DeferredWork::Task& task : tasks) task();
  EXPECT_EQ(run(*later), run(*at_once));
}

}  // namespace
}  // namespace amct
