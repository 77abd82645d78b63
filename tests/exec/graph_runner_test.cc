// Subgraphs as compiled programs: compiled steps inside, constants compiled in, shared by workers, bounded.
#include "exec/graph_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "exec/program_cache.h"
#include "exec/session.h"
#include "ops/subgraph.h"
#include "support/graphs.h"
#include "support/subgraphs.h"
#include "support/tensor_makers.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

// v <- relu(conv(v, w)), with w captured.
GraphPtr conv_body() {
  auto body = std::make_shared<Graph>();
  body->add_input("turn", {DType::kInt64, Shape::of({})});
  const ValueId go = body->add_input("go", {DType::kBool, Shape::of({})});
  const ValueId v = body->add_input("v", {DType::kFloat32, Shape::of({1, 5, 7, 9})});
  const ValueId w = body->add_input("w", {DType::kFloat32, Shape::of({5, 5, 3, 3})});
  const ValueId y = op(*body, "conv", "conv", {v, w}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  body->set_outputs({go, op(*body, "relu", "relu", {y})});
  return body;
}

Graph conv_loop(const GraphPtr& body, ValueId* weight = nullptr) {
  Graph graph;
  const ValueId n = graph.add_input("n", {DType::kInt64, Shape::of({})});
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of({1, 5, 7, 9})});
  const ValueId w = graph.add_constant("w", uniform({5, 5, 3, 3}, 1));
  if (weight != nullptr) *weight = w;
  graph.set_outputs({op(graph, "loop", "loop", {n, kNoValue, x, w}, {{"body", body}, {"captures", int64_t{1}}})});
  update_types(graph);
  return graph;
}

TEST(GraphRunner, LoopsRunCompiledBodies) {
  const Graph graph = conv_loop(conv_body());
  const std::vector<Tensor> inputs = {Tensor::scalar<int64_t>(3), uniform({1, 5, 7, 9}, 2)};
  Session compiled{Graph(graph)};
  Session plain{Graph(graph), {.compiled_kernels = false}};
  EXPECT_TRUE(compiled.program(inputs)->complete());
  EXPECT_TRUE(close(compiled.run(inputs)[0], plain.run(inputs)[0], 1e-4, 1e-4));
}

TEST(GraphRunner, ACapturedWeightIsPackedLikeAnyOther) {
  const GraphPtr body = conv_body();
  const std::vector<Tensor> inputs = {Tensor::scalar<int64_t>(0), Tensor::scalar<int64_t>(1), uniform({1, 5, 7, 9}, 2),
                                      uniform({5, 5, 3, 3}, 1)};
  ProgramCache bound(body, {}, {{3, inputs[3]}}, 1);
  const auto program = bound.find(inputs);
  const auto steps = program->steps();
  const bool fused = std::any_of(steps.begin(), steps.end(), [](const Program::StepInfo& step) {
    return step.op == "conv" && step.implementation != "generic" && step.nodes.size() == 2;
  });
  EXPECT_TRUE(fused);
  EXPECT_FALSE(program->reads_input(3));
  EXPECT_TRUE(program->reads_input(2));
}

TEST(GraphRunner, WorkersShareProgramsAndAgree) {
  const Graph graph = conv_loop(conv_body());
  const auto shared = std::make_shared<const Graph>(graph);
  InputBinding binding;
  binding.dims[graph.inputs()[0]] = {};
  binding.dims[graph.inputs()[1]] = {1, 5, 7, 9};
  const auto program = Program::compile(shared, binding);
  const Tensor expected = Session(Graph(graph)).run({Tensor::scalar<int64_t>(3), uniform({1, 5, 7, 9}, 2)})[0];
  std::atomic<int> same = 0;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&] {
      Runner runner(program);
      for (int turn = 0; turn < 5; ++turn) {
        const int64_t count = 3;
        std::memcpy(runner.input(0).data, &count, sizeof count);
        const Tensor x = uniform({1, 5, 7, 9}, 2);
        std::memcpy(runner.input(1).data, x.bytes().data(), x.bytes().size());
        runner.run();
        if (Tensor::copy_of(runner.output(0)).same_bytes(expected)) ++same;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(same, 20);
}

// if(c) reshape(x, [n, …]) else x: what n is, decides the extents.
Graph branching(bool constant_shapes) {
  const std::vector<int64_t> extents = constant_shapes ? std::vector<int64_t>{2, 6} : std::vector<int64_t>{3, 4};
  const GraphPtr reshaped = branch({2, 6}, [&](Graph& g, ValueId x) {
    return std::vector<ValueId>{op(g, "r", "reshape", {x, g.add_constant("t", ints(extents))})};
  });
  const GraphPtr negated =
      branch({2, 6}, [](Graph& g, ValueId x) { return std::vector<ValueId>{op(g, "n", "neg", {x})}; });
  Graph graph;
  const ValueId mode = graph.add_input("mode", {DType::kInt64, Shape::of({})});
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of({2, 6})});
  const ValueId one = graph.add_constant("one", Tensor::scalar<int64_t>(1));
  const ValueId is_one = op(graph, "is_one", "equal", {mode, one});
  const ValueId y = op(graph, "if", "if", {is_one, x}, if_attrs(reshaped, negated));
  graph.set_outputs({op(graph, "relu", "relu", {y})});
  update_types(graph);
  return graph;
}

TEST(GraphRunner, AnInputThatDecidesTheBranchGivesACompleteProgramForEach) {
  Session session(branching(false));
  const Tensor x = uniform({2, 6}, 3);
  for (const int64_t mode : {1, 0, 1}) {
    const std::vector<Tensor> inputs = {Tensor::scalar(mode), x};
    EXPECT_TRUE(session.program(inputs)->complete());
    EXPECT_EQ(session.run(inputs)[0].dims(), mode == 1 ? (Dims{3, 4}) : (Dims{2, 6}));
  }
}

TEST(GraphRunner, BranchesOfTheSameShapeShareOneProgram) {
  Session session(branching(true));
  const Tensor x = uniform({2, 6}, 3);
  const auto program = session.program({Tensor::scalar<int64_t>(1), x});
  EXPECT_TRUE(program->complete());
  EXPECT_EQ(session.program({Tensor::scalar<int64_t>(0), x}), program);
  EXPECT_FALSE(
      session.run({Tensor::scalar<int64_t>(1), x})[0].same_bytes(session.run({Tensor::scalar<int64_t>(0), x})[0]));
}

// v <- concat(v, w): other extents at every turn.
TEST(GraphRunner, ExtentsThatGrowFromTurnToTurn) {
  auto body = std::make_shared<Graph>();
  body->add_input("turn", {DType::kInt64, Shape::of({})});
  const ValueId go = body->add_input("go", {DType::kBool, Shape::of({})});
  const ValueId v = body->add_input("v", {DType::kFloat32, Shape::of_rank(1)});
  const ValueId w = body->add_input("w", {DType::kFloat32, Shape::of({3})});
  body->set_outputs({go, op(*body, "longer", "concat", {v, w}, {{"axis", int64_t{0}}})});
  Graph graph;
  const ValueId n = graph.add_input("n", {DType::kInt64, Shape::of({})});
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of({2})});
  const ValueId w_outside = graph.add_input("w", {DType::kFloat32, Shape::of({3})});
  const Attrs attrs = {{"body", GraphPtr(body)}, {"captures", int64_t{1}}};
  const ValueId y = op(graph, "loop", "loop", {n, kNoValue, x, w_outside}, attrs);
  graph.set_outputs({op(graph, "neg", "neg", {y})});
  update_types(graph);
  Session session(std::move(graph));
  const std::vector<Tensor> inputs = {Tensor::scalar<int64_t>(40), uniform({2}, 1), uniform({3}, 2)};
  EXPECT_FALSE(session.program(inputs)->complete());
  EXPECT_EQ(session.run(inputs)[0].dims(), Dims{122});
}

// A body whose extents follow from the value of a capture that is another every time: after a while it is interpreted,
// and its results stay right.
TEST(GraphRunner, ValuesThatChangeAtEveryRunAreNotCompiledInForever) {
  auto body = std::make_shared<Graph>();
  const ValueId n = body->add_input("n", {DType::kInt64, Shape::of({1})});
  const ValueId zero = body->add_constant("zero", Tensor::of<float>({1}, {2.5f}));
  body->set_outputs({op(*body, "filled", "expand", {zero, n})});
  ProgramCache cache(body, {}, {}, 1);
  const auto runner = make_graph_runner(make_subgraph_programs(CompileOptions{}));
  int complete = 0;
  for (int64_t extent = 1; extent <= 40; ++extent) {
    const Tensor value = Tensor::of<int64_t>({1}, {extent});
    complete += cache.find({value})->complete() ? 1 : 0;
    EXPECT_EQ(runner->run(body, {value})[0].dims(), Dims{extent});
  }
  EXPECT_EQ(complete, 15);
}

}  // namespace
}  // namespace amct::testing
