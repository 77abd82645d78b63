// Graphs with output shapes that depend on data: a detector-like network with NonMaxSuppression and one with NonZero in
// the middle, against running node by node.
#include "exec/segments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "exec/extract.h"
#include "exec/interpret.h"
#include "exec/profile.h"
#include "exec/session.h"
#include "ops/op_row.h"
#include "support/tensor_makers.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

class Builder {
 public:
  Graph graph;

  ValueId op(std::string_view type, std::vector<ValueId> inputs, Attrs attrs = {}) {
    return graph.node(add_op(graph, type, type, std::move(inputs), std::move(attrs))).output();
  }
  ValueId input(const Dims& dims) { return graph.add_input("x", {DType::kFloat32, Shape::of(dims)}); }
  ValueId weight(Dims dims) { return graph.add_constant("w", uniform(std::move(dims), random_)); }
  ValueId ints(const std::vector<int64_t>& values) { return graph.add_constant("ints", testing::ints(values)); }
  ValueId scalar(float value) { return graph.add_constant("s", Tensor::of<float>({}, {value})); }

  // conv, ReLU, the positions above a limit, their values, a matrix product on them, and something from before the cut.
  void non_zero_network() {
    const ValueId x = input({1, 2, 5, 7});
    const ValueId features = op("relu", {op("conv", {x, weight({3, 2, 1, 1})})});
    const ValueId where = op("non_zero", {op("greater", {features, scalar(0.6f)})});
    const ValueId positions = op("transpose", {where}, {{"perm", std::vector<int64_t>{1, 0}}});
    const ValueId values = op("gather_nd", {features, positions});
    const ValueId column = op("reshape", {values, ints({-1, 1})});
    const ValueId product = op("sigmoid", {op("matmul", {column, weight({1, 4})})});
    graph.set_outputs({product, op("global_average_pool", {features}), positions});
    update_types(graph);
  }

  std::mt19937 random_{11};
};

const Dims kImage = {1, 2, 5, 7};

size_t compiled_convolutions(const Profile& profile) {
  size_t count = 0;
  for (const auto& step : profile.steps()) count += step.op == "conv" && step.implementation != "generic" ? 1 : 0;
  return count;
}

TEST(Segments, CompileWhatStandsBeforeAndBehindNonZero) {
  Builder net;
  net.non_zero_network();
  Session session(net.graph);
  EXPECT_FALSE(session.program({uniform(kImage, 1)})->complete());
  Profile profile;
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    const Tensor x = uniform(kImage, seed);
    EXPECT_TRUE(close(session.run({x}, {}, &profile), interpret(net.graph, {x}, net.graph.outputs()), 0, 1e-5));
  }
  EXPECT_EQ(profile.runs(), 6u);
  EXPECT_EQ(compiled_convolutions(profile), 1u) << "new extents behind the cut compile nothing before it";
  std::map<std::string, std::string> implementation;
  for (const auto& step : profile.steps()) implementation[step.op] = step.implementation;
  EXPECT_NE(implementation.at("matmul"), "generic");
  EXPECT_EQ(implementation.at("non_zero"), "generic");
}

TEST(Segments, ObservedAndKeptValuesOfAllSegments) {
  Builder net;
  net.non_zero_network();
  CompileOptions options;
  for (const ValueId id : net.graph.values()) {
    if (!net.graph.value(id).is_constant()) options.observe.push_back(id);
  }
  for (const NodeId id : net.graph.nodes()) {
    if (net.graph.node(id).op == "relu" || net.graph.node(id).op == "matmul") {
      options.keep.push_back(net.graph.node(id).output());
    }
  }
  ASSERT_EQ(options.keep.size(), 2u);
  std::vector<ValueId> wanted = net.graph.outputs();
  wanted.insert(wanted.end(), options.keep.begin(), options.keep.end());
  Session session(net.graph, options);
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    const Tensor x = uniform(kImage, seed);
    std::map<ValueId, std::pair<int, double>> expected, seen;  // calls, and the sum of all elements
    const auto into = [](auto& table) {
      return [&table](ValueId id, const TensorView& view) {
        auto& [calls, sum] = table[id];
        ++calls;
        for (const double v : Tensor::copy_of(view).to_doubles()) sum += v;
      };
    };
    const auto reference = interpret(net.graph, {x}, wanted, options.observe, into(expected));
    EXPECT_TRUE(close(session.run({x}, into(seen)), reference, 0, 1e-5));
    ASSERT_EQ(seen.size(), expected.size());
    for (const auto& [id, calls_and_sum] : expected) {
      EXPECT_EQ(seen[id].first, 1) << net.graph.value(id).name;
      EXPECT_NEAR(seen[id].second, calls_and_sum.second, 1e-3) << net.graph.value(id).name;
    }
  }
}

TEST(Segments, ADetectorWithNonMaxSuppression) {
  Builder net;
  const ValueId x = net.input({1, 2, 5, 7});
  const ValueId features = net.op("relu", {net.op("conv", {x, net.weight({5, 2, 1, 1})})});
  const ValueId rows = net.op("transpose", {net.op("reshape", {features, net.ints({1, 5, 35})})},
                              {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId boxes = net.op("slice", {rows, net.ints({0}), net.ints({4}), net.ints({2})});
  const ValueId scores = net.op("transpose", {net.op("slice", {rows, net.ints({4}), net.ints({5}), net.ints({2})})},
                                {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId chosen =
      net.op("non_max_suppression", {boxes, scores, net.ints({20}), net.scalar(0.4f), net.scalar(0.1f)},
             {{"center_point_box", int64_t{1}}});
  const ValueId index =
      net.op("reshape", {net.op("slice", {chosen, net.ints({2}), net.ints({3}), net.ints({1})}), net.ints({-1})});
  const ValueId picked = net.op("gather", {net.op("reshape", {boxes, net.ints({35, 4})}), index});
  net.graph.set_outputs({picked, net.op("matmul", {picked, net.weight({4, 2})})});
  update_types(net.graph);
  Session session(net.graph);
  Profile profile;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const Tensor image = uniform(kImage, seed);
    EXPECT_TRUE(close(session.run({image}, {}, &profile), interpret(net.graph, {image}, net.graph.outputs()), 0, 1e-5));
  }
  EXPECT_EQ(compiled_convolutions(profile), 1u);
}

TEST(Segments, CutsBehindCuts) {
  Builder net;
  const ValueId x = net.input({3, 8});
  const ValueId product = net.op("matmul", {x, net.weight({8, 8})});
  const ValueId first = net.op("non_zero", {net.op("relu", {product})});
  const ValueId odd = net.op("mod", {first, net.ints({2})});
  const ValueId second = net.op("non_zero", {odd});
  net.graph.set_outputs({net.op("add", {second, net.ints({1})})});
  update_types(net.graph);
  Session session(net.graph);
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    const Tensor input = uniform({3, 8}, seed);
    EXPECT_TRUE(close(session.run({input}), interpret(net.graph, {input}, net.graph.outputs()), 0, 1e-5));
  }
}

TEST(Segments, NothingFoundIsAnEmptyTensor) {
  Builder net;
  net.non_zero_network();
  Session session(net.graph);
  const Tensor zero = Tensor::of<float>({1, 2, 5, 7}, std::vector<float>(70, 0));
  const auto results = session.run({zero});
  EXPECT_EQ(results[0].dims(), (Dims{0, 4}));
  EXPECT_TRUE(close(results, interpret(net.graph, {zero}, net.graph.outputs()), 0, 1e-5));
}

TEST(Segments, ALightTailWhoseExtentsChangeAtEveryRunIsNotCompiledAgain) {
  Builder net;
  const ValueId x = net.graph.add_input("x", {DType::kFloat32, Shape::of({40})});
  const ValueId where = net.op("non_zero", {x});
  net.graph.set_outputs({net.op("add", {net.op("mul", {where, net.ints({3})}), net.ints({1})})});
  update_types(net.graph);
  Session session(net.graph);
  Profile profile;
  const auto run = [&](int64_t count) {
    std::vector<float> values(40, 0);
    std::fill_n(values.begin(), count, 1.0f);
    const Tensor input = Tensor::of<float>({40}, values);
    EXPECT_TRUE(close(session.run({input}, {}, &profile), interpret(net.graph, {input}, net.graph.outputs()), 0, 1e-5));
  };
  for (int64_t count = 1; count <= 30; ++count) run(count);
  const size_t steps = profile.steps().size();
  EXPECT_LE(steps, 1u + 2 * 4 + 2) << "the cut, four programs of two steps, and the two nodes";
  run(30);  // comes back: compiled now
  EXPECT_EQ(profile.steps().size(), steps + 2);
  run(30);
  EXPECT_EQ(profile.steps().size(), steps + 2);
}

// Extents that follow from the value of an input that is another at every run: after a while, what stands before them
// is compiled once for all values.
TEST(Segments, ValuesThatChangeAtEveryRunAreNotCompiledInForever) {
  Builder net;
  const ValueId features = net.op("relu", {net.op("conv", {net.input({1, 2, 5, 7}), net.weight({3, 2, 1, 1})})});
  const ValueId target = net.graph.add_input("target", {DType::kInt64, Shape::of({1})});
  const ValueId mean = net.op("reduce_mean", {features, net.ints({0, 1, 2, 3})}, {{"keepdims", int64_t{0}}});
  net.graph.set_outputs({net.op("expand", {mean, target}), features});
  update_types(net.graph);
  Session session(net.graph);
  Profile profile;
  for (int64_t extent = 1; extent <= 40; ++extent) {
    const std::vector<Tensor> inputs = {uniform(kImage, static_cast<uint32_t>(extent)),
                                        Tensor::of<int64_t>({1}, {extent})};
    EXPECT_TRUE(close(session.run(inputs, {}, &profile), interpret(net.graph, inputs, net.graph.outputs()), 0, 1e-5));
  }
  EXPECT_EQ(compiled_convolutions(profile), 15u + 1u) << "programs for values, and the one for all";
}

TEST(Segments, AnOperatorThatCannotRunIsNamed) {
  Builder net;
  const ValueId x = net.input({2, 3});
  const ValueId before = net.op("relu", {x});
  const NodeId unknown = net.graph.add_node("mystery", "com.example::Mystery", nullptr, {before}, {"y"});
  net.graph.set_outputs({net.op("relu", {net.graph.node(unknown).output()})});
  update_types(net.graph);
  Session session(net.graph);
  try {
    session.run({uniform({2, 3}, 1)});
    FAIL() << "ran";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("mystery"), std::string::npos) << error.what();
  }
}

TEST(Extract, KeepsNamesAndSharesConstants) {
  Builder net;
  net.non_zero_network();
  const std::vector<NodeId> order = net.graph.topological_order();
  const NodeId conv = order[0];
  ASSERT_EQ(net.graph.node(conv).op, "conv");
  const ValueId result = net.graph.node(conv).output();
  const Extracted part = extract(net.graph, {conv}, {result}, [](ValueId) { return DType::kFloat32; });
  ASSERT_EQ(part.graph->node_count(), 1u);
  EXPECT_EQ(part.inputs, (std::vector<ValueId>{net.graph.inputs()[0]}));
  EXPECT_EQ(part.from_part.at(part.to_part.at(result)), result);
  const Node& copy = part.graph->node(part.graph->nodes()[0]);
  EXPECT_EQ(copy.name, net.graph.node(conv).name);
  EXPECT_EQ(part.graph->value(part.graph->outputs()[0]).name, net.graph.value(result).name);
  const Tensor* weight = part.graph->constant(copy.input(1));
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->view().data, net.graph.constant(net.graph.node(conv).input(1))->view().data);
}

}  // namespace
}  // namespace amct::testing
