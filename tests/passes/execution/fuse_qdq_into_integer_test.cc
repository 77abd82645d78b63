// Q/DQ graphs before and after their layers become integer, node by node with the plain kernels and compiled.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "exec/session.h"
#include "passes/pass_testing.h"
#include "passes/qdq_builder.h"

namespace amct::testing {
namespace {

class Qdq : public QdqBuilder {
 public:
  // A constant of integers, dequantized along `axis` with these scales.
  ValueId constant(const std::string& name, const Dims& dims, const std::vector<float>& scales, int64_t axis,
                   DType type, uint32_t seed, int64_t zero = 0) {
    const float range = type == DType::kInt32 ? 500.0f : 127.0f;
    const Tensor values = uniform(dims, seed, type == DType::kUInt8 ? 0.0f : -range, range).cast(type);
    const Dims shape = scales.size() == 1 ? Dims{} : Dims{static_cast<int64_t>(scales.size())};
    const Tensor zeros = Tensor::of<int64_t>(shape, std::vector<int64_t>(scales.size(), zero)).cast(type);
    return op(graph, name + ".dq", "dequantize_linear",
              {graph.add_constant(name, values), graph.add_constant(name + ".s", Tensor::of<float>(shape, scales)),
               graph.add_constant(name + ".z", zeros)},
              {{"axis", axis}});
  }
};

// Lowers the graph; checks that plain kernels and the compiled program agree with the graph as it was to a quantum on
// few elements, and with each other in every bit.
Graph lowered(Graph graph, float quantum, double share = 1e-3) {
  update_types(graph);
  Graph result = graph;
  run_passes(result, integer_passes());
  const std::vector<Tensor> inputs = random_inputs(graph, 11);
  const auto shared = std::make_shared<const Graph>(result);
  const Tensor expected = run_plain(graph, inputs, {graph.outputs()[0]})[0];
  const Tensor plain = Session(shared, {.compiled_kernels = false}).run(inputs)[0];
  const Tensor fast = Session(shared).run(inputs)[0];
  const auto a = expected.to_doubles(), b = plain.to_doubles();
  size_t deviating = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::abs(a[i] - b[i]) > 1e-4 * quantum) ++deviating;
    EXPECT_LE(std::abs(a[i] - b[i]), 1.001 * quantum) << i;
  }
  EXPECT_LE(static_cast<double>(deviating), share * static_cast<double>(a.size()));
  EXPECT_TRUE(plain.same_bytes(fast));
  return result;
}

std::vector<float> scales_of(size_t count, float factor) {
  std::vector<float> scales(count);
  for (size_t i = 0; i < count; ++i) scales[i] = factor * (0.5f + 0.1f * static_cast<float>(i));
  return scales;
}

// A convolution with its quantizers; `limit` may name an operator between it and the second one.
Graph conv_graph(const std::string& limit, float out_scale, int64_t out_zero, DType weights = DType::kInt8) {
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({2, 3, 9, 7}), 0.008f, 128);
  const std::vector<float> scales = scales_of(5, 0.002f);
  std::vector<float> products;
  for (const float scale : scales) products.push_back(0.008f * scale);
  const ValueId w = g.constant("w", {5, 3, 3, 3}, scales, 0, weights, 2, weights == DType::kUInt8 ? 128 : 0);
  const ValueId b = g.constant("b", {5}, products, 0, DType::kInt32, 3);
  ValueId y = op(g.graph, "conv", "conv", {x, w, b}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  if (limit == "relu") y = op(g.graph, "limit", "relu", {y});
  if (limit == "clip") y = op(g.graph, "limit", "clip", {y, g.number("low", 0.0f), g.number("high", 0.5f)});
  g.graph.set_outputs({g.round_trip("y", y, out_scale, out_zero)});
  return g.graph;
}

TEST(FuseQdqIntoInteger, Convolution) {
  EXPECT_EQ(op_names(lowered(conv_graph("", 0.01f, 120), 0.01f)),
            (Strings{"quantize_linear", "qlinear_conv", "dequantize_linear"}));
  lowered(conv_graph("", 0.01f, 120, DType::kUInt8), 0.01f);
}

TEST(FuseQdqIntoInteger, FloatBiases) {
  for (const std::vector<float>& scales : {scales_of(5, 0.002f), std::vector<float>{0.002f}}) {
    Qdq g;
    const ValueId x = g.round_trip("x", g.input({2, 3, 9, 7}), 0.008f, 128);
    const ValueId w = g.constant("w", {5, 3, 3, 3}, scales, 0, DType::kInt8, 2);
    const ValueId b = g.graph.add_constant("b", uniform({5}, 3));
    g.graph.set_outputs({g.round_trip("y", op(g.graph, "conv", "conv", {x, w, b}), 0.01f, 120)});
    EXPECT_EQ(op_names(lowered(g.graph, 0.01f)), (Strings{"quantize_linear", "qlinear_conv", "dequantize_linear"}));
  }
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({4, 11}), 0.01f, 3, DType::kInt8);
  const ValueId w = g.constant("w", {11, 6}, scales_of(6, 0.01f), 1, DType::kInt8, 5);
  const ValueId b = g.graph.add_constant("b", uniform({1, 6}, 3));
  g.graph.set_outputs({g.round_trip("y", op(g.graph, "gemm", "gemm", {x, w, b}), 0.01f, 120)});
  EXPECT_EQ(op_names(lowered(g.graph, 0.01f, 0.02)),
            (Strings{"quantize_linear", "gemm", "dequantize_linear", "quantize_linear", "dequantize_linear"}));
}

TEST(FuseQdqIntoInteger, LimitsThatTheQuantizerImplies) {
  EXPECT_EQ(op_names(lowered(conv_graph("relu", 0.01f, 0), 0.01f)),
            (Strings{"quantize_linear", "qlinear_conv", "dequantize_linear"}));
  EXPECT_EQ(op_names(lowered(conv_graph("clip", 0.0019f, 0), 0.0019f)),
            (Strings{"quantize_linear", "qlinear_conv", "dequantize_linear"}));
}

TEST(FuseQdqIntoInteger, OtherLimitsStay) {
  const Strings stays = {"quantize_linear",  "conv", "dequantize_linear", "relu", "quantize_linear",
                         "dequantize_linear"};
  EXPECT_EQ(op_names(lowered(conv_graph("relu", 0.01f, 7), 0.01f)), stays);
  Strings clips = stays;
  clips[3] = "clip";
  EXPECT_EQ(op_names(lowered(conv_graph("clip", 0.01f, 0), 0.01f)), clips);
}

TEST(FuseQdqIntoInteger, GemmWithAFloatResult) {
  for (const int64_t transposed : {0, 1}) {
    Qdq g;
    const ValueId x = g.round_trip("x", g.input({4, 11}), 0.01f, 3, DType::kInt8);
    const ValueId w = g.constant("w", transposed ? Dims{6, 11} : Dims{11, 6}, scales_of(6, 0.01f), transposed ? 0 : 1,
                                 DType::kInt8, 5);
    g.graph.set_outputs({op(g.graph, "gemm", "gemm", {x, w}, {{"transB", transposed}})});
    EXPECT_EQ(op_names(lowered(g.graph, 1.0f)), (Strings{"quantize_linear", "gemm", "dequantize_linear"}));
  }
}

TEST(FuseQdqIntoInteger, ProductsOfMatrices) {
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({2, 4, 11}), 0.01f, 128);
  const ValueId w = g.constant("w", {11, 6}, scales_of(6, 0.01f), 1, DType::kInt8, 5);
  const ValueId y = g.round_trip("y", op(g.graph, "product", "matmul", {x, w}), 0.02f, 99);
  const ValueId z = g.round_trip("other", g.input({2, 6, 5}, "z"), 0.009f, 100);
  g.graph.set_outputs({g.round_trip("r", op(g.graph, "computed", "matmul", {y, z}), 0.05f, 120)});
  const Strings names = op_names(lowered(g.graph, 0.05f, 0.05));
  EXPECT_EQ(std::count(names.begin(), names.end(), "qlinear_matmul"), 2);
}

TEST(FuseQdqIntoInteger, ResidualAddition) {
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({1, 4, 6, 5}), 0.008f, 128);
  const ValueId w = g.constant("w", {4, 4, 1, 1}, scales_of(4, 0.005f), 0, DType::kInt8, 2);
  const ValueId y = g.round_trip("y", op(g.graph, "conv", "conv", {x, w}), 0.01f, 120);
  const ValueId sum = op(g.graph, "relu", "relu", {op(g.graph, "sum", "add", {x, y})});
  g.graph.set_outputs({g.round_trip("r", sum, 0.012f, 0)});
  const Graph result = lowered(g.graph, 0.012f, 0.01);
  EXPECT_EQ(op_names(result), (Strings{"quantize_linear", "qlinear_conv", "qlinear_add", "dequantize_linear"}));
  const auto steps = Session(std::make_shared<const Graph>(result)).program(random_inputs(result, 1))->steps();
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(), [](const Program::StepInfo& step) {
    return step.nodes.size() == 3 && step.op == "qlinear_conv";  // the sum and the last dequantization are taken in
  }));
}

TEST(FuseQdqIntoInteger, Averages) {
  const Strings expected = {"quantize_linear", "average_pool", "quantize_linear", "dequantize_linear"};
  const std::vector<int64_t> three = {3, 3}, two = {2, 2}, pads = {1, 0, 2, 1};
  for (const int64_t included : {0, 1}) {
    for (const DType type : {DType::kUInt8, DType::kInt8}) {
      Qdq g;
      const ValueId x = g.round_trip("x", g.input({2, 19, 9, 8}), 0.0083f, type == DType::kInt8 ? -5 : 117, type);
      const ValueId y =
          op(g.graph, "mean", "average_pool", {x},
             {{"kernel_shape", three}, {"strides", two}, {"pads", pads}, {"count_include_pad", included}});
      g.graph.set_outputs({g.round_trip("y", y, 0.0061f, 120)});
      EXPECT_EQ(op_names(lowered(g.graph, 0.0061f)), expected);
    }
  }
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({2, 67, 7, 9}), 0.0083f, 117);
  g.graph.set_outputs({g.round_trip("y", op(g.graph, "mean", "global_average_pool", {x}), 0.0013f, 120)});
  EXPECT_EQ(op_names(lowered(g.graph, 0.0013f, 0.02)), expected);
}

TEST(FuseQdqIntoInteger, LeavesAloneWhatIsNotInteger) {
  for (const bool computed : {true, false}) {  // a computed bias, and one that leaves 32 bits
    Qdq g;
    const ValueId x = g.round_trip("x", g.input({1, 3, 5, 5}), 0.008f, 128);
    const ValueId w = g.constant("w", {4, 3, 1, 1}, {0.005f}, 0, DType::kInt8, 2);
    const ValueId bias = computed ? g.input({4}, "bias") : g.graph.add_constant("bias", uniform({4}, 3, 1e6, 1e7));
    g.graph.set_outputs({op(g.graph, "conv", "conv", {x, w, bias})});
    update_types(g.graph);
    EXPECT_TRUE(run_pass(g.graph, "fuse_qdq_into_integer").left_alone("conv", "bias"));
  }

  Qdq h;  // scales along the input channels
  const ValueId u = h.round_trip("x", h.input({1, 3, 5, 5}), 0.008f, 128);
  h.graph.set_outputs(
      {op(h.graph, "conv", "conv", {u, h.constant("w", {4, 3, 1, 1}, scales_of(3, 0.1f), 1, DType::kInt8, 2)})});
  update_types(h.graph);
  EXPECT_TRUE(run_pass(h.graph, "fuse_qdq_into_integer").left_alone("conv", "another axis"));

  Qdq p;  // an average in floats
  const ValueId mean =
      op(p.graph, "mean", "global_average_pool", {p.round_trip("x", p.input({1, 3, 5, 5}), 0.008f, 128)});
  p.graph.set_outputs({mean});
  update_types(p.graph);
  EXPECT_TRUE(run_pass(p.graph, "fuse_qdq_into_integer").left_alone("mean", "not quantized"));

  Qdq b;  // shapes that broadcast
  const ValueId left = b.round_trip("l", b.input({2, 3, 5}), 0.01f, 128);
  const ValueId right = b.round_trip("r", b.input({3, 1}, "z"), 0.01f, 128);
  b.graph.set_outputs({b.round_trip("y", op(b.graph, "sum", "add", {left, right}), 0.02f, 128)});
  update_types(b.graph);
  EXPECT_TRUE(run_pass(b.graph, "fuse_qdq_into_integer").left_alone("sum", "one shape"));
}

TEST(MoveDequantizeDown, ThroughPoolingAndReshaping) {
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({1, 3, 8, 8}), 0.008f, 117);
  const std::vector<int64_t> two = {2, 2};
  const ValueId pooled = op(g.graph, "pool", "max_pool", {x},
                            {{"kernel_shape", two}, {"strides", two}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const ValueId again = g.round_trip("p", pooled, 0.008f, 117);
  g.graph.set_outputs({op(g.graph, "flat", "flatten", {again})});
  EXPECT_EQ(op_names(lowered(g.graph, 1e-6f, 0)),
            (Strings{"quantize_linear", "max_pool", "dequantize_linear", "flatten"}))
      << "a graph output keeps its name";
}

TEST(MoveDequantizeDown, ThroughConcatenation) {
  Qdq g;
  const ValueId x = g.round_trip("x", g.input({1, 3, 4, 4}), 0.008f, 117);
  const ValueId y = g.round_trip("y", g.input({1, 2, 4, 4}, "z"), 0.02f, 90);
  const ValueId joined = op(g.graph, "joined", "concat", {x, y}, {{"axis", int64_t{1}}});
  g.graph.set_outputs({g.round_trip("j", joined, 0.008f, 117)});
  EXPECT_EQ(op_names(lowered(g.graph, 1e-6f, 0)),
            (Strings{"quantize_linear", "quantize_linear", "byte_table", "concat", "dequantize_linear"}));
}

}  // namespace
}  // namespace amct::testing
