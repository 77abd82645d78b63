// What ONNX's and Ascend's operators on quantized operands refuse, and results of no elements.
#include <cmath>
#include <limits>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

// The inputs of an operator, of which a case exchanges one.
using Inputs = std::vector<Tensor>;

Inputs with(Inputs inputs, size_t port, Tensor value) {
  inputs.resize(std::max(inputs.size(), port + 1));
  inputs[port] = std::move(value);
  return inputs;
}

const Tensor kOne = Tensor::scalar(0.5f);
const Tensor kZero = Tensor::scalar<uint8_t>(3);

Inputs linear_conv() {
  return {filled<uint8_t>({1, 4, 5, 5}, 9), kOne, kZero, filled<int8_t>({6, 4, 3, 3}, 2), filled({6}, 0.25f),
          filled<int8_t>({6}, 1),           kOne, kZero, filled<int32_t>({6}, -7)};
}

TEST(QLinearConv, RefusesParametersThatDoNotFit) {
  const char* op = "qlinear_conv";
  const Inputs good = linear_conv();
  EXPECT_EQ(run_op(op, good).dims(), (Dims{1, 6, 3, 3}));
  for (const size_t port : {1, 4, 6}) {
    EXPECT_ERROR(run_op(op, with(good, port, filled({2}, 0.5f))), "has 2 entries");
    EXPECT_ERROR(run_op(op, with(good, port, filled({0}, 0.5f))), "has 0 entries");
    EXPECT_ERROR(run_op(op, with(good, port, Tensor::scalar<int32_t>(1))), "a floating-point type is needed");
  }
  EXPECT_ERROR(run_op(op, with(good, 2, Tensor::scalar<int32_t>(1000))), "zero point 2 is int32");
  EXPECT_ERROR(run_op(op, with(good, 2, Tensor::scalar<int8_t>(-5))), "its operand, input 0, is uint8");
  EXPECT_ERROR(run_op(op, with(good, 2, filled<uint8_t>({4}, 3))), "input 2 has 4 entries");
  EXPECT_ERROR(run_op(op, with(good, 2, filled<uint8_t>({0}, 3))), "input 2 has 0 entries");
  EXPECT_ERROR(run_op(op, with(good, 5, filled<int8_t>({3}, 1))), "input 5 has 3 entries; 1 or 6 are needed");
  EXPECT_ERROR(run_op(op, with(good, 5, filled<int32_t>({6}, 70000))), "zero point 5 is int32");
  EXPECT_ERROR(run_op(op, with(good, 7, Tensor::scalar(3.0f))), "input 7 is float32");
  EXPECT_ERROR(run_op(op, with(good, 7, filled<uint8_t>({6}, 3))), "input 7 has 6 entries");
  EXPECT_ERROR(run_op(op, with(good, 8, filled<int32_t>({5}, 3))), "input 8 has 5 entries");
  EXPECT_ERROR(run_op(op, with(good, 8, filled<int64_t>({6}, 3))), "the bias is int64");
  EXPECT_ERROR(run_op(op, with(good, 8, filled({6}, 3.0f))), "the bias is float32");
  EXPECT_ERROR(run_op(op, good, {{"group", std::numeric_limits<int64_t>::max()}}), "do not fit");
}

TEST(ConvInteger, RefusesZeroPointsThatDoNotFit) {
  const char* op = "conv_integer";
  const Inputs good{filled<uint8_t>({1, 4, 5, 5}, 9), filled<int8_t>({6, 4, 3, 3}, 2), kZero, filled<int8_t>({6}, 1)};
  EXPECT_EQ(run_op(op, good).values<int32_t>()[0], 4 * 9 * (9 - 3) * (2 - 1));
  EXPECT_ERROR(run_op(op, with(good, 2, Tensor::scalar<int32_t>(1000))), "zero point 2 is int32");
  EXPECT_ERROR(run_op(op, with(good, 2, filled<uint8_t>({2}, 3))), "input 2 has 2 entries");
  EXPECT_ERROR(run_op(op, with(good, 3, filled<int8_t>({4}, 1))), "input 3 has 4 entries");
  EXPECT_ERROR(run_op(op, with(good, 3, filled<uint8_t>({6}, 1))), "zero point 3 is uint8");
}

TEST(ConvInteger, MayHaveNoOutputChannels) {
  const Inputs inputs{filled<uint8_t>({1, 4, 5, 5}, 9), filled<int8_t>({0, 4, 3, 3}, 2), kZero, filled<int8_t>({0}, 1)};
  EXPECT_EQ(run_op("conv_integer", inputs).dims(), (Dims{1, 0, 3, 3}));
}

TEST(QLinearMatMul, RefusesParametersThatDoNotFit) {
  const char* op = "qlinear_matmul";
  const Inputs good{filled<uint8_t>({2, 5, 7}, 9), kOne, kZero, filled<int8_t>({7, 3}, 2), filled({3}, 0.25f),
                    filled<int8_t>({3}, 1),        kOne, kZero};
  EXPECT_EQ(run_op(op, good).dims(), (Dims{2, 5, 3}));
  for (const size_t port : {1, 6}) {  // one for all, for each row, or for each row of both matrices
    EXPECT_EQ(run_op(op, with(good, port, filled({5}, 0.5f))).dims(), (Dims{2, 5, 3}));
    EXPECT_EQ(run_op(op, with(good, port, filled({2, 5, 1}, 0.5f))).dims(), (Dims{2, 5, 3}));
  }
  for (const size_t port : {1, 4, 6}) {
    EXPECT_ERROR(run_op(op, with(good, port, filled({2}, 0.5f))), "has 2 entries");
    EXPECT_ERROR(run_op(op, with(good, port, filled({0}, 0.5f))), "has 0 entries");
    EXPECT_ERROR(run_op(op, with(good, port, Tensor::scalar<int32_t>(1))), "a floating-point type is needed");
  }
  EXPECT_ERROR(run_op(op, with(good, 2, Tensor::scalar<int8_t>(-5))), "zero point 2 is int8");
  EXPECT_ERROR(run_op(op, with(good, 2, filled<uint8_t>({4}, 3))), "input 2 has 4 entries");
  EXPECT_ERROR(run_op(op, with(good, 5, filled<int8_t>({7}, 3))), "input 5 has 7 entries");
  EXPECT_ERROR(run_op(op, with(good, 5, filled<int32_t>({3}, 3))), "zero point 5 is int32");
  EXPECT_ERROR(run_op(op, with(good, 7, Tensor::scalar(3.0f))), "input 7 is float32");
  EXPECT_ERROR(run_op(op, with(good, 7, filled<uint8_t>({0}, 3))), "input 7 has 0 entries");
}

TEST(MatMulInteger, RefusesZeroPointsThatDoNotFit) {
  const char* op = "matmul_integer";
  const Inputs good{filled<uint8_t>({5, 7}, 9), filled<int8_t>({7, 3}, 2), kZero, filled<int8_t>({3}, 1)};
  EXPECT_EQ(run_op(op, good).values<int32_t>()[0], 7 * (9 - 3) * (2 - 1));
  EXPECT_EQ(run_op(op, with(good, 2, filled<uint8_t>({5}, 3))).values<int32_t>()[0], 7 * (9 - 3) * (2 - 1));
  EXPECT_ERROR(run_op(op, with(good, 2, filled<uint8_t>({4}, 3))), "input 2 has 4 entries");
  EXPECT_ERROR(run_op(op, with(good, 2, Tensor::scalar<int32_t>(1000))), "zero point 2 is int32");
  EXPECT_ERROR(run_op(op, with(good, 3, filled<int8_t>({7}, 1))), "input 3 has 7 entries");
}

TEST(IntegerProducts, MayHaveNoRowsColumnsOrDepth) {
  for (const Dims& extents : std::vector<Dims>{{0, 7, 3}, {5, 0, 3}, {5, 7, 0}, {0, 0, 0}, {0, 1, 1}}) {
    const int64_t m = extents[0], k = extents[1], n = extents[2];
    const Tensor x = filled<int8_t>({m, k}, 9), w = filled<int8_t>({k, n}, 9);
    const Tensor zeros = filled<int32_t>({m, n}, 0);
    for (const char* op : {"matmul_integer", "gemm", "matmul"}) {
      EXPECT_TRUE(run_op(op, {x, w}).same_bytes(zeros)) << op << " " << to_string(extents);
    }
    const Tensor zero = Tensor::scalar<int8_t>(3);
    EXPECT_EQ(run_op("qlinear_matmul", {x, kOne, zero, w, kOne, zero, kOne, zero}).dims(), (Dims{m, n}));
  }
}

TEST(IntegerLayers, RefuseOffsetsThatAreNoValuesOfTheType) {
  const Inputs inputs{filled<int8_t>({1, 4, 5, 5}, 9), filled<int8_t>({6, 4, 3, 3}, 2)};
  for (const int64_t offset : {int64_t{-129}, int64_t{128}, int64_t{255}, std::numeric_limits<int64_t>::min()}) {
    EXPECT_ERROR(run_op("conv", inputs, {{"x_offset", offset}}), "does not fit inputs of type int8");
    EXPECT_ERROR(run_op("average_pool", {inputs[0]}, {{"x_offset", offset}, {"kernel_shape", Ints{2, 2}}}),
                 "does not fit inputs of type int8");
  }
  EXPECT_EQ(run_op("conv", inputs, {{"x_offset", int64_t{-128}}}).values<int32_t>()[0], 4 * 9 * (9 + 128) * 2);
  const Inputs bytes{filled<uint8_t>({5, 7}, 9), filled<int8_t>({7, 3}, 2)};
  EXPECT_ERROR(run_op("gemm", bytes, {{"x_offset", int64_t{-1}}}), "does not fit inputs of type uint8");
  EXPECT_ERROR(run_op("matmul", bytes, {{"x_offset", int64_t{256}}}), "does not fit inputs of type uint8");
  const Inputs wide{filled<int16_t>({5, 7}, 9), filled<int8_t>({7, 3}, 2)};
  EXPECT_ERROR(run_op("matmul", wide, {{"x_offset", int64_t{32768}}}), "does not fit inputs of type int16");
}

TEST(AscendQuant, RefusesOffsetsAndScalesThatMeanNothing) {
  const auto run = [](const char* type, double scale, double offset) {
    return run_op("ascend_quant", {filled({2}, 1.0f)},
                  {{"scale", scale}, {"offset", offset}, {"dst_type", std::string(type)}});
  };
  EXPECT_EQ(run("INT8", 4, -128).to_doubles(), (std::vector<double>{-124, -124}));
  EXPECT_EQ(run("INT16", 4, 32767).to_doubles(), (std::vector<double>{32767, 32767}));
  for (const double offset : {255.0, 128.0, -129.0, 3.7, 1e30, double{NAN}}) {
    EXPECT_ERROR(run("INT8", 4, offset), "an integer from -128 to 127 is needed");
  }
  EXPECT_ERROR(run("INT16", 4, 32768), "an integer from -32768 to 32767");
  EXPECT_EQ(run("INT4", 4, 17).to_doubles(), (std::vector<double>{7, 7})) << "as AMCT has it";
  EXPECT_ERROR(run("INT4", 4, 128), "an integer from -128 to 127");
  for (const double scale : {0.0, -1.0, double{INFINITY}, double{NAN}}) {
    EXPECT_ERROR(run("INT8", scale, 0), "a number above 0 is needed");
  }
}

TEST(DequantizeLinear, RefusesZeroPointsOfAnotherType) {
  const char* op = "dequantize_linear";
  const Tensor x = filled<int8_t>({2, 3}, 5);
  EXPECT_EQ(run_op(op, {x, kOne, Tensor::scalar<int8_t>(1)}).to_doubles()[0], 2);
  EXPECT_ERROR(run_op(op, {x, kOne, Tensor::scalar<uint8_t>(1)}), "zero point 2 is uint8; its operand, input 0, is");
  EXPECT_ERROR(run_op(op, {x, kOne, Tensor::scalar<int32_t>(1)}), "zero point 2 is int32");
  EXPECT_ERROR(run_op(op, {x, kOne, Tensor::scalar(1.0f)}), "zero point 2 is float32");
  EXPECT_ERROR(run_op(op, {x, Tensor::scalar<int32_t>(1)}), "scale 1 is int32");
}

TEST(DequantizeLinear, TakesBlocksOfAnyLength) {
  const Tensor x = filled<int8_t>({2, 3}, 5), scales = filled({2, 1}, 0.5f);
  for (const int64_t block : {int64_t{3}, int64_t{1000}, std::numeric_limits<int64_t>::max()}) {
    const Tensor y = run_op("dequantize_linear", {x, scales}, {{"axis", int64_t{1}}, {"block_size", block}});
    EXPECT_TRUE(y.same_bytes(filled({2, 3}, 2.5f))) << block;
  }
  EXPECT_ERROR(run_op("dequantize_linear", {x, scales}, {{"axis", int64_t{1}}, {"block_size", int64_t{2}}}),
               "do not fit data");
}

TEST(QuantizeLinear, RefusesZeroPointsThatAreNoIntegersToQuantizeTo) {
  const Tensor x = filled({2, 3}, 5.0f);
  for (const Tensor& zero : {Tensor::scalar(1.0f), Tensor::scalar<int64_t>(1), Tensor::scalar<int32_t>(1),
                             Tensor::scalar<uint8_t>(1).cast(DType::kBool)}) {
    EXPECT_ERROR(run_op("quantize_linear", {x, kOne, zero}), "no type to quantize to");
  }
  EXPECT_ERROR(run_op("quantize_linear", {x, kOne}, {{"output_dtype", int64_t{7}}}), "no type to quantize to");
}

}  // namespace
}  // namespace amct::testing
