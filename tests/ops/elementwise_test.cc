// Element-wise rows against values worked out by hand: rounding, signs, overflow, NaN, conversions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/op_row.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<Tensor> run_op(const std::string& op, const std::vector<Tensor>& inputs, Attrs attrs = {},
                           size_t outputs = 1) {
  Graph graph;
  std::vector<ValueId> values;
  for (const Tensor& input : inputs) values.push_back(input ? graph.add_input("x", input.type()) : kNoValue);
  const std::vector<std::string> names(outputs, "y");
  const NodeId id = graph.add_node("node", op, &op_table().get(op), values, names, std::move(attrs));
  return run_node(graph.node(id), inputs);
}

template <typename T>
Tensor row(const std::vector<T>& values) {
  return Tensor::of<T>({static_cast<int64_t>(values.size())}, values);
}

template <typename T>
void expect_op(const std::string& op, const std::vector<Tensor>& inputs, const std::vector<T>& expected,
               Attrs attrs = {}) {
  EXPECT_TRUE(close(run_op(op, inputs, std::move(attrs))[0], row<T>(expected), 2e-7, 0)) << op;
}

TEST(Elementwise, RoundsHalvesToEven) {
  expect_op<float>("round", {row<float>({0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.3f, 8388609.0f, kInf})},
                   {0, 2, 2, -0.0f, -2, -2, 0, 8388609.0f, kInf});
  expect_op<double>("round", {row<double>({0.5, 1.5, 2.5, -2.5})}, {0, 2, 2, -2});
}

TEST(Elementwise, RemaindersHaveTheSignOfDivisorOrDividend) {
  const Tensor a = row<int32_t>({7, -7, 7, -7, 6, std::numeric_limits<int32_t>::min()});
  const Tensor b = row<int32_t>({3, 3, -3, -3, 3, -1});
  expect_op<int32_t>("mod", {a, b}, {1, 2, -2, -1, 0, 0});
  expect_op<int32_t>("mod", {a, b}, {1, -1, 1, -1, 0, 0}, {{"fmod", int64_t{1}}});
  expect_op<float>("mod", {row<float>({5.5f, -5.5f, 5.5f}), row<float>({2, 2, -2})}, {1.5f, -1.5f, 1.5f},
                   {{"fmod", int64_t{1}}});
  EXPECT_THROW(run_op("mod", {row<float>({1}), row<float>({1})}), Error);
}

TEST(Elementwise, IntegersWrapAndDivideTowardsZero) {
  expect_op<int8_t>("add", {row<int8_t>({127, -128, 100}), row<int8_t>({1, -1, 100})}, {-128, 127, -56});
  expect_op<int8_t>("mul", {row<int8_t>({64, -128}), row<int8_t>({2, -1})}, {-128, -128});
  expect_op<uint16_t>("mul", {row<uint16_t>({65535}), row<uint16_t>({65535})}, {1});
  expect_op<uint8_t>("sub", {row<uint8_t>({3}), row<uint8_t>({5})}, {254});
  expect_op<int64_t>("neg", {row<int64_t>({std::numeric_limits<int64_t>::min(), 5})},
                     {std::numeric_limits<int64_t>::min(), -5});
  expect_op<int32_t>("div", {row<int32_t>({7, -7, std::numeric_limits<int32_t>::min()}), row<int32_t>({2, 2, -1})},
                     {3, -3, std::numeric_limits<int32_t>::min()});
}

TEST(Elementwise, IntegerDivisionByZeroIsAnError) {
  for (const char* op : {"div", "mod"}) {
    try {
      run_op(op, {row<int32_t>({1}), row<int32_t>({0})});
      ADD_FAILURE() << op;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    }
  }
}

TEST(Elementwise, PowersOfIntegers) {
  expect_op<int32_t>("pow", {row<int32_t>({2, -3, 5, 1, -1, 2}), row<int32_t>({10, 3, 0, -4, -3, -1})},
                     {1024, -27, 1, 1, -1, 0});
  expect_op<int32_t>("pow", {row<int32_t>({9, 2}), row<float>({0.5f, -1})}, {3, 0});
  expect_op<float>("pow", {row<float>({-2, -2, 4, 0}), row<int64_t>({3, 2, -1, 0})}, {-8, 4, 0.25f, 1});
}

TEST(Elementwise, NanPassesThroughLimits) {
  const Tensor a = row<float>({kNan, 1, 2, kNan});
  const Tensor b = row<float>({1, kNan, -3, kNan});
  expect_op<float>("min", {a, b}, {kNan, kNan, -3, kNan});
  expect_op<float>("max", {a, b}, {kNan, kNan, 2, kNan});
  expect_op<float>("clip", {row<float>({kNan, -9, 9}), Tensor::scalar(-1.0f), Tensor::scalar(2.0f)}, {kNan, -1, 2});
  for (const char* op : {"relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "exp", "erf", "softplus", "mish",
                         "gelu", "hard_swish", "hard_sigmoid", "log", "sign"}) {
    const std::vector<double> y = run_op(op, {row<float>({kNan, 0.5f})})[0].to_doubles();
    EXPECT_TRUE(std::isnan(y[0]) && !std::isnan(y[1])) << op;
  }
}

TEST(Elementwise, InfinitiesSaturate) {
  const Tensor x = row<float>({-kInf, kInf, -200, 200});
  expect_op<float>("sigmoid", {x}, {0, 1, 0, 1});
  expect_op<float>("tanh", {x}, {-1, 1, -1, 1});
  expect_op<float>("erf", {x}, {-1, 1, -1, 1});
  expect_op<float>("exp", {x}, {0, kInf, 0, kInf});
  expect_op<float>("softplus", {x}, {0, kInf, 0, 200});
  expect_op<float>("elu", {x}, {-1, kInf, -1, 200});
}

TEST(Elementwise, ClipWithCrossedBoundsGivesTheUpper) {
  expect_op<int32_t>("clip", {row<int32_t>({-5, 0, 5}), Tensor::scalar(3), Tensor::scalar(1)}, {1, 1, 1});
}

TEST(Elementwise, FloatFunctionsMatchDoubleArithmetic) {
  struct Function {
    const char* op;
    double (*exact)(double);
  };
  const Function functions[] = {
      {"exp", [](double x) { return std::exp(x); }},
      {"erf", [](double x) { return std::erf(x); }},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"softplus", [](double x) { return std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0); }},
      {"mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
      {"elu", [](double x) { return x < 0 ? std::expm1(x) : x; }},
      {"hard_swish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
  };
  std::vector<float> x;
  for (int i = -4003; i <= 4003; ++i) x.push_back(static_cast<float>(i) / 211);
  for (const Function& function : functions) {
    std::vector<float> expected;
    for (const float value : x) expected.push_back(static_cast<float>(function.exact(value)));
    EXPECT_TRUE(close(run_op(function.op, {row<float>(x)})[0], row<float>(expected), 1e-6, 2e-7)) << function.op;
  }
}

TEST(Elementwise, BFloat16ComputesInFloat) {
  const auto b = [](float x) { return BFloat16(x); };
  const Tensor sum = run_op("add", {row<BFloat16>({b(256), b(1)}), row<BFloat16>({b(1), b(0.0078125f)})})[0];
  EXPECT_EQ(sum.to_doubles(), (std::vector<double>{256, 1.0078125}));  // 257 has a tie: to even
  const Tensor root = run_op("sqrt", {row<BFloat16>({b(2)})})[0];
  EXPECT_EQ(root.to_doubles()[0], static_cast<double>(static_cast<float>(b(1.41421356f))));
}

TEST(Elementwise, CastsTruncateAndWrap) {
  const auto to = [](int64_t code) { return Attrs{{"to", code}}; };
  expect_op<int32_t>("cast", {row<float>({1.9f, -1.9f, 0})}, {1, -1, 0}, to(6));
  expect_op<uint8_t>("cast", {row<float>({-1, 300})}, {255, 44}, to(2));
  expect_op<int8_t>("cast", {row<int32_t>({200, -200})}, {-56, 56}, to(3));
  expect_op<uint64_t>("cast", {row<double>({0x1p63, 1e30})}, {1ull << 63, ~0ull}, to(13));
  expect_op<int64_t>("cast", {row<float>({kNan, kInf, -kInf})},
                     {0, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}, to(7));
  EXPECT_EQ(run_op("cast", {row<float>({0, -0.0f, kNan, 0.1f})}, to(9))[0].to_int64s(),
            (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(run_op("cast", {row<int32_t>({7, 8, -9})}, to(22))[0].to_int64s(), (std::vector<int64_t>{7, -8, 7}));
  EXPECT_EQ(run_op("cast", {row<float>({7.9f, 8, -9, kNan})}, to(22))[0].to_int64s(),
            (std::vector<int64_t>{7, 7, -8, 0}));
  EXPECT_THROW(run_op("cast", {row<float>({0})}, to(99)), Error);
}

TEST(Elementwise, ShiftsBeyondTheWidthLeaveNothing) {
  const Attrs left{{"direction", std::string("LEFT")}};
  const Attrs right{{"direction", std::string("RIGHT")}};
  expect_op<uint8_t>("bit_shift", {row<uint8_t>({1, 255, 255}), row<uint8_t>({7, 4, 8})}, {128, 240, 0}, left);
  expect_op<uint32_t>("bit_shift", {row<uint32_t>({1u << 31, 7}), row<uint32_t>({31, 32})}, {1, 0}, right);
  EXPECT_THROW(run_op("bit_shift", {row<int32_t>({1}), row<int32_t>({1})}, left), Error);
}

TEST(Elementwise, SoftmaxOfLargeValuesAndStridedAxes) {
  expect_op<float>("softmax", {row<float>({1000, 1000, -1000})}, {0.5f, 0.5f, 0});
  const Tensor y = run_op("softmax", {Tensor::of<float>({2, 2, 1}, {0, 1, 5, 5})}, {{"axis", int64_t{1}}})[0];
  const float e = std::exp(1.0f);
  EXPECT_TRUE(close(y, Tensor::of<float>({2, 2, 1}, {1 / (1 + e), e / (1 + e), 0.5f, 0.5f}), 1e-6, 0));
  const std::vector<double> nan = run_op("softmax", {row<float>({kNan, 1})})[0].to_doubles();
  EXPECT_TRUE(std::isnan(nan[0]) && std::isnan(nan[1]));
  const Attrs flat{{"axis", int64_t{1}}, {"flatten", int64_t{1}}};
  EXPECT_TRUE(close(run_op("softmax", {Tensor::of<float>({1, 2, 2}, {3, 3, 3, 3})}, flat)[0],
                    Tensor::of<float>({1, 2, 2}, {0.25f, 0.25f, 0.25f, 0.25f}), 1e-6, 0));
  EXPECT_TRUE(close(run_op("hardmax", {row<float>({1, 4, 4})})[0], row<float>({0, 1, 0}), 0, 0));
}

TEST(Elementwise, FaultyInputsAreRefused) {
  EXPECT_THROW(run_op("add", {row<float>({1, 2}), row<float>({1, 2, 3})}), Error);
  EXPECT_THROW(run_op("add", {row<float>({1}), row<double>({1})}), Error);
  EXPECT_THROW(run_op("exp", {row<int32_t>({1})}), Error);
  EXPECT_THROW(run_op("and", {row<float>({1}), row<float>({1})}), Error);
  EXPECT_THROW(run_op("prelu", {row<float>({1}), row<float>({1, 2})}), Error);
  EXPECT_THROW(run_op("clip", {row<float>({1}), row<float>({1, 2})}), Error);
  EXPECT_THROW(run_op("gelu", {row<float>({1})}, {{"approximate", std::string("sinh")}}), Error);
  EXPECT_THROW(run_op("softmax", {row<float>({1})}, {{"axis", int64_t{3}}}), Error);
}

TEST(Elementwise, DropoutPassesOnAndRefusesToTrain) {
  const Tensor x = row<float>({1, -2, 3});
  const std::vector<Tensor> outputs = run_op("dropout", {x}, {}, 2);
  EXPECT_TRUE(outputs[0].same_bytes(x));
  EXPECT_EQ(outputs[1].dtype(), DType::kBool);
  EXPECT_EQ(outputs[1].to_int64s(), (std::vector<int64_t>{1, 1, 1}));
  const bool training = true;
  const Tensor mode = Tensor::copy_of(DType::kBool, {}, std::as_bytes(std::span(&training, 1)));
  EXPECT_THROW(run_op("dropout", {x, Tensor::scalar(0.5f), mode}), Error);
  EXPECT_TRUE(run_op("dropout", {x, Tensor::scalar(0.0f), mode})[0].same_bytes(x));
}

}  // namespace
}  // namespace amct::testing
