#include "exec/program.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>

#include "exec/interpret.h"
#include "exec/session.h"
#include "ops/op_row.h"
#include "support/tensor_makers.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

class Network {
 public:
  explicit Network(uint32_t seed) : random_(seed) {}

  Tensor tensor(Dims dims) { return uniform(std::move(dims), random_); }
  ValueId input(Dims dims) { return graph.add_input("x", {DType::kFloat32, Shape::of(dims)}); }
  ValueId op(std::string_view type, std::vector<ValueId> inputs, Attrs attrs = {}) {
    const NodeId id = add_op(graph, type, type, std::move(inputs), std::move(attrs));
    return graph.node(id).output();
  }
  ValueId conv(ValueId x, int64_t in, int64_t out, int64_t kernel, int64_t group = 1, bool bias = true) {
    std::vector<ValueId> inputs{x, graph.add_constant("w", tensor({out, in / group, kernel, kernel}))};
    if (bias) inputs.push_back(graph.add_constant("b", tensor({out})));
    const int64_t pad = kernel / 2;
    return op("conv", inputs, {{"pads", std::vector<int64_t>{pad, pad, pad, pad}}, {"group", group}});
  }
  ValueId ints(const std::vector<int64_t>& values) { return graph.add_constant("ints", testing::ints(values)); }

  Graph graph;

 private:
  std::mt19937 random_;
};

// Two residual blocks (one with a projection), a concat across channels, a pool, reshapes and a matrix product.
Network residual_network(uint32_t seed) {
  Network net(seed);
  const ValueId x = net.input({1, 3, 11, 9});
  const ValueId stem = net.op("relu", {net.conv(x, 3, 13, 3)});
  const ValueId a = net.conv(net.op("relu", {net.conv(stem, 13, 13, 3, 13)}), 13, 13, 1);
  const ValueId sum = net.op("relu", {net.op("add", {a, stem})});
  const ValueId b = net.op("add", {net.conv(sum, 13, 5, 1, 1, false), net.conv(stem, 13, 5, 3)});
  const ValueId joined = net.op("concat", {net.op("sigmoid", {b}), sum}, {{"axis", int64_t{1}}});
  const ValueId scale = net.graph.add_constant("scale", net.tensor({18, 1, 1}));
  const ValueId scaled = net.op("mul", {joined, scale});
  const ValueId pooled = net.op("global_average_pool", {scaled});
  const ValueId flat = net.op("reshape", {pooled, net.ints({1, 18})});
  const ValueId weight = net.graph.add_constant("fc", net.tensor({18, 7}));
  const ValueId logits = net.op("matmul", {flat, weight});
  const ValueId transposed = net.op("transpose", {scaled}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
  net.graph.set_outputs({net.op("sigmoid", {logits}), transposed, b});
  update_types(net.graph);
  return net;
}

TEST(Program, ComputesWhatThePlainKernelsCompute) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    Network net = residual_network(seed);
    const Tensor x = net.tensor({1, 3, 11, 9});
    const std::vector<Tensor> expected = interpret(net.graph, {x}, net.graph.outputs());
    for (const bool absorb : {true, false}) {
      for (const bool compiled : {true, false}) {
        Session session(net.graph, {.absorb = absorb, .compiled_kernels = compiled});
        for (int run = 0; run < 2; ++run) {  // the second run starts from a used arena
          const std::vector<Tensor> actual = session.run({x});
          EXPECT_TRUE(close(actual, expected, 0, 2e-5));
        }
      }
    }
  }
}

TEST(Program, AbsorbsActivationsAndResidualAdditions) {
  Network net = residual_network(4);
  const auto graph = std::make_shared<const Graph>(net.graph);
  const auto program = Program::compile(graph, {});
  size_t absorbed = 0;
  bool addition = false;
  for (const Program::StepInfo& step : program->steps()) {
    if (step.op != "conv") continue;
    absorbed += step.nodes.size() - 1;
    for (const std::string& node : step.nodes) addition |= node.starts_with("add");
  }
  EXPECT_GE(absorbed, 3u);  // two ReLUs and an addition; the other sum is read later and must stay
  EXPECT_TRUE(addition);
}

TEST(Program, HandsOverEveryObservedValueUnabsorbed) {
  Network net = residual_network(5);
  const auto graph = std::make_shared<const Graph>(net.graph);
  CompileOptions options;
  for (const ValueId id : graph->values()) {
    if (!graph->value(id).is_constant()) options.observe.push_back(id);
  }
  const Tensor x = net.tensor({1, 3, 11, 9});
  const std::vector<Tensor> expected = interpret(*graph, {x}, options.observe);
  std::vector<double> sums(graph->value_slots(), 0);
  std::vector<int> calls(graph->value_slots(), 0);
  Session session(graph, options);
  session.run({x}, [&](ValueId id, const TensorView& view) {
    ++calls[id.index];
    for (int64_t i = 0; i < view.size(); ++i) sums[id.index] += view.as<float>()[i];
  });
  for (size_t i = 0; i < options.observe.size(); ++i) {
    double sum = 0;
    for (const float value : expected[i].values<float>()) sum += value;
    EXPECT_EQ(calls[options.observe[i].index], 1);
    EXPECT_NEAR(sums[options.observe[i].index], sum, 1e-3) << graph->value(options.observe[i]).name;
  }
}

TEST(Program, KeptValuesSurviveTheRun) {
  Network net = residual_network(6);
  const auto graph = std::make_shared<const Graph>(net.graph);
  CompileOptions options;
  for (const ValueId id : graph->values()) {
    if (!graph->value(id).is_constant()) options.keep.push_back(id);
  }
  const Tensor x = net.tensor({1, 3, 11, 9});
  const std::vector<Tensor> expected = interpret(*graph, {x}, options.keep);
  const std::vector<Tensor> actual = Session(graph, options).run({x});
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(close(actual[graph->outputs().size() + i], expected[i], 0, 2e-5)) << i;
  }
}

TEST(Program, GivesTheSameBitsInEveryWorker) {
  Network net = residual_network(7);
  const auto program = Program::compile(std::make_shared<const Graph>(net.graph), {});
  const Tensor x = net.tensor({1, 3, 11, 9});
  const auto run = [&] {
    Runner runner(program);
    std::memcpy(runner.input(0).data, x.bytes().data(), x.bytes().size());
    runner.run();
    return Tensor::copy_of(runner.output(0));
  };
  const Tensor expected = run();
  std::vector<Tensor> results(6);
  {
    std::vector<std::jthread> threads;
    for (Tensor& result : results) threads.emplace_back([&result, &run] { result = run(); });
  }
  for (const Tensor& result : results) EXPECT_TRUE(result.same_bytes(expected));
}

TEST(Program, IsTheSameWhicheverThreadsCompileIt) {
  const Network net = residual_network(11);
  const auto graph = std::make_shared<const Graph>(net.graph);
  std::mt19937 random(12);
  const Tensor x = uniform({1, 3, 11, 9}, random);
  std::vector<Tensor> first;
  for (const int compilers : {1, 3, 8}) {
    Runner runner(Program::compile(graph, {.dims = {{graph->inputs()[0], x.dims()}}}, {.compilers = compilers}));
    std::memcpy(runner.input(0).data, x.bytes().data(), x.byte_size());
    runner.run();
    for (size_t i = 0; i < graph->outputs().size(); ++i) {
      const Tensor result = Tensor::copy_of(runner.output(i));
      if (compilers == 1) first.push_back(result);
      EXPECT_TRUE(result.same_bytes(first[i])) << compilers << " compilers, output " << i;
    }
  }
}

TEST(Program, LeavesOutWhatLiesBehindAnOpaqueNode) {
  Network net(8);
  const ValueId x = net.input({2, 3});
  const ValueId relu = net.op("relu", {x});
  const NodeId mystery = net.graph.add_node("mystery", "org.example::Mystery", nullptr, {relu}, {"m"});
  const ValueId behind = net.op("relu", {net.graph.node(mystery).output()});
  net.graph.set_outputs({relu, behind});
  update_types(net.graph);
  const auto program = Program::compile(std::make_shared<const Graph>(net.graph), {});
  EXPECT_EQ(program->reach(relu), Reach::kComputed);
  EXPECT_EQ(program->reach(behind), Reach::kBehindOpaque);
  EXPECT_FALSE(program->complete());
  Runner runner(program);
  runner.run();
  EXPECT_EQ(runner.output(0).dims, (Dims{2, 3}));
  EXPECT_THROW(runner.output(1), Error);
}

TEST(Session, FollowsChangingShapesAndNamesTheInputThatDoesNotFit) {
  Network net(9);
  const ValueId x = net.graph.add_input("x", {DType::kFloat32, Shape({Dim::named("N"), Dim(3), Dim(), Dim()})});
  net.graph.set_outputs({net.op("relu", {net.conv(x, 3, 4, 3)})});
  update_types(net.graph);
  Session session(net.graph);
  for (int64_t size = 3; size < 20; ++size) {
    EXPECT_EQ(session.run({net.tensor({2, 3, size, size + 1})})[0].dims(), (Dims{2, 4, size, size + 1}));
  }
  try {
    session.run({net.tensor({2, 4, 5, 5})});
    FAIL() << "a wrong number of channels was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'x'"), std::string::npos) << error.what();
  }
}

TEST(Session, ReadsShapesFromInputs) {
  Network net(10);
  const ValueId x = net.input({2, 6});
  const ValueId shape = net.graph.add_input("shape", {DType::kInt64, Shape::of({2})});
  net.graph.set_outputs({net.op("relu", {net.op("reshape", {x, shape})})});
  Session session(net.graph);
  const Tensor data = net.tensor({2, 6});
  EXPECT_EQ(session.run({data, Tensor::of<int64_t>({2}, {3, 4})})[0].dims(), (Dims{3, 4}));
  EXPECT_EQ(session.run({data, Tensor::of<int64_t>({2}, {-1, 2})})[0].dims(), (Dims{6, 2}));
}

// Products read their weights where they lie; deferred ones are made for one step, and gone after it.
TEST(Program, LeanOnesKeepNoCopyOfLargeWeights) {
  Network net(11);
  const ValueId x = net.input({3, 19});
  const Tensor data[] = {net.tensor({19, 13}), net.tensor({7, 13})};
  int made = 0;
  const auto deferred = [&](const Tensor& tensor) {
    return Tensor::deferred(DType::kFloat32, tensor.dims(), [&made, tensor] {
      ++made;
      return Tensor::copy_of(tensor.view());
    });
  };
  const auto build = [&](Graph& graph, bool defers) {
    const auto weight = [&](size_t i) { return graph.add_constant("w", defers ? deferred(data[i]) : data[i]); };
    const auto add = [&](std::string_view op, std::vector<ValueId> inputs, Attrs attrs) {
      return graph.node(add_op(graph, op, op, std::move(inputs), std::move(attrs))).output();
    };
    const ValueId first = add("relu", {add("matmul", {x, weight(0)}, {})}, {});
    graph.set_outputs({add("gemm", {first, weight(1)}, {{"transB", int64_t{1}}})});
    update_types(graph);
  };
  Graph plain = net.graph, lean = net.graph;
  build(plain, false);
  build(lean, true);
  const Tensor input = net.tensor({3, 19});
  const std::vector<Tensor> expected = interpret(plain, {input}, plain.outputs());
  const auto program =
      Program::compile(std::make_shared<const Graph>(lean), {{{x, {3, 19}}}, {}, {}}, {.threads = 1, .lean = true});
  Runner runner(program);
  EXPECT_EQ(made, 0) << "compiling needs no weights";
  for (int run = 1; run <= 2; ++run) {
    std::memcpy(runner.input(0).data, input.bytes().data(), input.bytes().size());
    runner.run();
    EXPECT_EQ(made, 2 * run);
    EXPECT_TRUE(close(Tensor::copy_of(runner.output(0)), expected[0], 0, 1e-4));
  }
}

// A packed constant is not read any more: a program does not hold on to the form that the file has.
TEST(Program, LetsGoOfWeightsThatItHasPacked) {
  Network net(12);
  const ValueId x = net.input({1, 8, 9, 7});
  int made = 0;
  const Tensor data = net.tensor({24, 8, 3, 3});
  const ValueId w = net.graph.add_constant("w", Tensor::deferred(DType::kFloat32, data.dims(), [&] {
                                             ++made;
                                             return Tensor::copy_of(data.view());
                                           }));
  net.graph.set_outputs({net.op("conv", {x, w})});
  update_types(net.graph);
  const auto graph = std::make_shared<const Graph>(net.graph);
  const auto program = Program::compile(graph, {{{x, {1, 8, 9, 7}}}, {}, {}}, {.threads = 1});
  const int when_compiled = made;
  Runner runner(program);
  runner.run();
  EXPECT_GE(when_compiled, 1);
  EXPECT_EQ(made, when_compiled);
  EXPECT_TRUE(graph->constant(w)->is_deferred());
}

}  // namespace
}  // namespace amct::testing
