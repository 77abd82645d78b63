// What the compiled steps of integer layers hold on to.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/lowering_harness.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

// The weights are packed once: no second copy of them stays in memory with the step.
TEST(IntegerStep, LetsItsWeightsGo) {
  const auto deferred = [](Dims dims) {
    return fixed(Tensor::deferred(DType::kInt8, dims, [dims] { return filled<int8_t>(dims, 2); }));
  };
  const auto image = random_input({1, 4, 5, 5}, 0, 255, DType::kUInt8);
  const auto rows = random_input({5, 7}, 0, 255, DType::kUInt8);
  const SampleInput scale = fixed(Tensor::scalar(0.5f)), zero = fixed(Tensor::scalar<uint8_t>(3)),
                    weight_zero = fixed(Tensor::scalar<int8_t>(0));
  const auto check = [&](const char* op, std::vector<SampleInput> inputs, Layout layout, size_t weight,
                         const std::vector<size_t>& read) {
    SCOPED_TRACE(op);
    const SampleNode c = make_case(op_table().get(op), {.name = op, .inputs = std::move(inputs)}, 1);
    const auto step = lower_case(c, layout, layout);
    ASSERT_NE(step, nullptr);
    EXPECT_TRUE(c.inputs[weight].is_deferred());
    for (size_t port = 0; port < c.inputs.size(); ++port) {
      EXPECT_EQ(step->reads(port), std::find(read.begin(), read.end(), port) != read.end()) << "input " << port;
    }
    EXPECT_TRUE(step->reads(c.inputs.size())) << "the operand of an epilogue";
  };
  const Layout last = Layout::kChannelsLast;
  const SampleInput bias = fixed(filled<int32_t>({6}, -7));
  check("conv", {image, deferred({6, 4, 3, 3}), bias}, last, 1, {0, 2});
  check("conv_transpose", {image, deferred({6, 4, 3, 3}), bias}, last, 1, {0, 2});
  check("conv_integer", {image, deferred({6, 4, 3, 3}), zero, weight_zero}, last, 1, {0});
  check("qlinear_conv", {image, scale, zero, deferred({6, 4, 3, 3}), scale, weight_zero, scale, zero, bias}, last, 3,
        {0, 8});
  check("gemm", {rows, deferred({7, 6}), bias}, Layout::kPlain, 1, {0});
  check("matmul", {rows, deferred({7, 6})}, Layout::kPlain, 1, {0});
  check("matmul_integer", {rows, deferred({7, 6}), zero, weight_zero}, Layout::kPlain, 1, {0});
  check("qlinear_matmul", {rows, scale, zero, deferred({7, 6}), scale, weight_zero, scale, zero}, Layout::kPlain, 3,
        {0});
}

}  // namespace
}  // namespace amct::testing
