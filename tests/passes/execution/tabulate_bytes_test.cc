// Functions of one quantized value before and after they become tables: the same bits, node by node and compiled.
#include "passes/execution/tabulate_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "exec/session.h"
#include "passes/pass_testing.h"
#include "passes/qdq_builder.h"

namespace amct::testing {
namespace {

class Qdq : public QdqBuilder {
 public:
  // Values of many sizes as integers of this quantizer, and as floats again.
  ValueId source(float scale = 0.05f, int64_t zero = 117, DType type = DType::kUInt8) {
    const ValueId x = float_input(graph, {2, 5, 7, 3});
    const ValueId spread = op(graph, "spread", "mul", {x, number("spread.by", 6)});
    return dequantize("x", quantize("xq", spread, scale, zero, type), scale, zero, type);
  }
};

// The operators after the pass; the outputs equal those of the graph as it was in every bit.
Strings tabulated(Graph graph) {
  update_types(graph);
  const Ran ran = run_pass(graph, "tabulate_bytes");
  const std::vector<Tensor> inputs = random_inputs(graph, 5);
  const auto before = Session(graph).run(inputs), after = Session(ran.graph).run(inputs);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(before[i].same_bytes(after[i])) << "output " << i;
  return op_names(ran.graph);
}

TEST(TabulateBytes, Activations) {
  const Strings table = {"mul", "quantize_linear", "byte_table"};
  for (const char* activation : {"sigmoid", "tanh", "hard_swish", "gelu", "softplus", "elu", "abs"}) {
    for (const DType type : {DType::kUInt8, DType::kInt8}) {
      Qdq g;
      const ValueId x = g.source(0.05f, type == DType::kInt8 ? -7 : 117, type);
      g.graph.set_outputs({g.quantize("y", op(g.graph, "f", activation, {x}), 0.02f, 9, type)});
      EXPECT_EQ(tabulated(g.graph), table) << activation;
    }
  }
}

TEST(TabulateBytes, ChainsWithConstants) {
  Qdq g;
  const ValueId x = g.source();
  const ValueId clipped = op(g.graph, "clip", "clip", {x, g.number("low", -1), g.number("high", 2)});
  const ValueId sum = op(g.graph, "sum", "add", {g.graph.add_constant("three", Tensor::of<float>({1}, {3})), clipped});
  g.graph.set_outputs({g.quantize("y", op(g.graph, "f", "sqrt", {sum}), 0.01f, 0, DType::kInt8)});
  EXPECT_EQ(tabulated(g.graph), (Strings{"mul", "quantize_linear", "byte_table"}));
}

TEST(TabulateBytes, RequantizationAlone) {
  Qdq g;
  g.graph.set_outputs({g.quantize("y", g.source(), 0.04f, 100)});
  EXPECT_EQ(tabulated(g.graph), (Strings{"mul", "quantize_linear", "byte_table"}));
}

TEST(TabulateBytes, ValuesTimesTheirQuantizedGates) {
  Qdq g;
  const ValueId x = g.source();
  const ValueId gate =
      g.dequantize("gate", g.quantize("gq", op(g.graph, "sigmoid", "sigmoid", {x}), 1.0f / 256, 0), 1.0f / 256, 0);
  g.graph.set_outputs({g.quantize("y", op(g.graph, "mul", "mul", {x, gate}), 0.03f, 10)});
  EXPECT_EQ(tabulated(g.graph), (Strings{"mul", "quantize_linear", "byte_table"}));
}

// A file decides how long a chain is: neither may it be too deep for the stack, nor cost its square.
TEST(TabulateBytes, LongChains) {
  const auto chain = [](int length, int quantizers) {
    Qdq g;
    ValueId x = g.source();
    std::vector<ValueId> outputs;
    for (int i = 0; i < length; ++i) {
      x = op(g.graph, "f" + std::to_string(i), i % 2 == 0 ? "tanh" : "sigmoid", {x});
      if (i % (length / quantizers) == length / quantizers - 1) {
        outputs.push_back(g.quantize("y" + std::to_string(i), x, 0.02f, 9));
      }
    }
    g.graph.set_outputs(outputs);
    update_types(g.graph);
    tabulate_bytes(g.graph, {});
    return op_names(g.graph);
  };
  EXPECT_EQ(chain(200, 1), (Strings{"mul", "quantize_linear", "byte_table"}));
  const Strings left = chain(50000, 5000);
  EXPECT_EQ(std::count(left.begin(), left.end(), "byte_table"), 25);  // those behind at most 254 operators
}

TEST(TabulateBytes, KeepsWhatOthersRead) {
  Qdq g;
  const ValueId f = op(g.graph, "f", "sigmoid", {g.source()});
  g.graph.set_outputs({g.quantize("y", f, 1.0f / 256, 0), f});
  EXPECT_EQ(tabulated(g.graph), (Strings{"mul", "quantize_linear", "dequantize_linear", "sigmoid", "byte_table"}));
}

TEST(TabulateBytes, LeavesFunctionsOfOtherThingsAlone) {
  const auto unchanged = [](const Graph& graph) {
    Graph typed = graph;
    update_types(typed);
    EXPECT_EQ(run_pass(typed, "tabulate_bytes").changes, 0);
  };
  Qdq two;  // two sources
  const ValueId other =
      two.dequantize("o", two.quantize("oq", float_input(two.graph, {2, 5, 7, 3}, "z"), 0.1f, 3), 0.1f, 3);
  two.graph.set_outputs({two.quantize("y", op(two.graph, "mul", "mul", {two.source(), other}), 0.02f, 0)});
  unchanged(two.graph);

  Qdq channels;  // a constant for each channel
  const ValueId factors = channels.graph.add_constant("factors", uniform({5, 1, 1}, 3));
  channels.graph.set_outputs(
      {channels.quantize("y", op(channels.graph, "mul", "mul", {channels.source(), factors}), 0.02f, 0)});
  unchanged(channels.graph);

  Qdq wide;  // integers of 16 bits, on either side
  wide.graph.set_outputs(
      {wide.quantize("y", op(wide.graph, "f", "tanh", {wide.source(1e-3f, 0, DType::kInt16)}), 0.02f, 0),
       wide.quantize(
           "z",
           op(wide.graph, "g", "tanh",
              {wide.dequantize("w", wide.quantize("wq", float_input(wide.graph, {3, 4}, "v"), 0.1f, 3), 0.1f, 3)}),
           1e-3f, 0, DType::kInt16)});
  unchanged(wide.graph);

  Qdq sums;  // not element-wise
  const ValueId summed = op(sums.graph, "f", "softmax", {sums.source()}, {{"axis", int64_t{1}}});
  sums.graph.set_outputs({sums.quantize("y", summed, 1.0f / 256, 0)});
  unchanged(sums.graph);

  Qdq axes;  // a scale for each channel
  const ValueId x = axes.graph.add_input("q", {DType::kUInt8, Shape::of({2, 5, 7})});
  const ValueId scales = axes.graph.add_constant("scales", uniform({5}, 3, 0.01f, 0.1f));
  const ValueId back = op(axes.graph, "back", "dequantize_linear", {x, scales}, {{"axis", int64_t{1}}});
  axes.graph.set_outputs({axes.quantize("y", op(axes.graph, "f", "tanh", {back}), 0.02f, 0)});
  unchanged(axes.graph);
}

}  // namespace
}  // namespace amct::testing
