// If, Loop and Scan beyond their samples: shapes that change, faults, and what inference may and may not promise.
#include <gtest/gtest.h>

#include "ops/control_flow.h"
#include "support/errors.h"
#include "support/graphs.h"
#include "support/subgraphs.h"

namespace amct::testing {
namespace {

TensorType floats(Dims dims) { return {DType::kFloat32, Shape::of(dims)}; }

// One node of control flow around which everything is given.
struct One {
  Graph graph;
  NodeId id;

  One(std::string_view row, const std::vector<Tensor>& inputs, size_t outputs, Attrs attrs) {
    std::vector<ValueId> values;
    for (const Tensor& input : inputs) values.push_back(input ? graph.add_input("in", input.type()) : kNoValue);
    std::vector<std::string> names;
    for (size_t i = 0; i < outputs; ++i) names.push_back("out");
    id = graph.add_node("node", row, &op_table().get(row), values, names, std::move(attrs));
  }
  const Node& node() const { return graph.node(id); }
};

std::vector<Tensor> run(std::string_view row, const std::vector<Tensor>& inputs, size_t outputs, Attrs attrs) {
  return run_node(One(row, inputs, outputs, std::move(attrs)).node(), inputs);
}

// The message of the error that running gives.
std::string fault(std::string_view row, const std::vector<Tensor>& inputs, size_t outputs, Attrs attrs) {
  return error_of([&] { run(row, inputs, outputs, std::move(attrs)); });
}

Tensor vector_of(const std::vector<float>& values) {
  return Tensor::of<float>({static_cast<int64_t>(values.size())}, values);
}

// (turn, go_on, v, captures…) -> whatever `build` makes of them.
GraphPtr loop_body(const std::vector<TensorType>& types,
                   const std::function<std::vector<ValueId>(Graph&, const std::vector<ValueId>&)>& build) {
  auto body = std::make_shared<Graph>();
  std::vector<ValueId> inputs = {body->add_input("turn", {DType::kInt64, Shape::of({})}),
                                 body->add_input("go_on", {DType::kBool, Shape::of({})})};
  for (const TensorType& type : types) inputs.push_back(body->add_input("v", type));
  body->set_outputs(build(*body, inputs));
  return body;
}

Attrs loop(const GraphPtr& body, int64_t captures = 0) { return {{"body", body}, {"captures", captures}}; }

// v grows by one element at every turn.
GraphPtr growing() {
  return loop_body({{DType::kFloat32, Shape::of_rank(1)}}, [](Graph& g, const std::vector<ValueId>& in) {
    const ValueId one = g.add_constant("one", vector_of({1}));
    return std::vector<ValueId>{in[1], op(g, "longer", "concat", {in[2], one}, {{"axis", int64_t{0}}})};
  });
}

TEST(ControlFlow, ALoopMayChangeTheExtentsOfWhatItCarries) {
  const Tensor out = run("loop", {Tensor::scalar<int64_t>(3), {}, vector_of({5, 6})}, 1, loop(growing()))[0];
  EXPECT_EQ(out.to_doubles(), (std::vector<double>{5, 6, 1, 1, 1}));
}

TEST(ControlFlow, NothingIsPromisedOfExtentsThatChange) {
  const One one("loop", {Tensor::scalar<int64_t>(3), {}, vector_of({5, 6})}, 1, loop(growing()));
  Graph graph = one.graph;
  update_types(graph);
  const Shape& shape = graph.value(graph.node(one.id).output()).type.shape;
  ASSERT_TRUE(shape.ranked());
  EXPECT_FALSE(shape.is_fixed());
}

TEST(ControlFlow, ALoopMayChangeTheRankOfWhatItCarries) {
  const GraphPtr body = loop_body({floats({2})}, [](Graph& g, const std::vector<ValueId>& in) {
    const ValueId axes = g.add_constant("axes", Tensor::of<int64_t>({1}, {0}));
    return std::vector<ValueId>{in[1], op(g, "deeper", "unsqueeze", {in[2], axes})};
  });
  const Tensor out = run("loop", {Tensor::scalar<int64_t>(3), {}, vector_of({5, 6})}, 1, loop(body))[0];
  EXPECT_EQ(out.dims(), (Dims{1, 1, 1, 2}));
}

TEST(ControlFlow, ALoopThatDoesNotTurnKeepsWhatItCarriesAndCollectsNothing) {
  const GraphPtr body = loop_body({floats({2})}, [](Graph& g, const std::vector<ValueId>& in) {
    return std::vector<ValueId>{in[1], op(g, "n", "neg", {in[2]}), op(g, "a", "abs", {in[2]})};
  });
  for (const int64_t count : {int64_t{0}, int64_t{-4}}) {
    const auto out = run("loop", {Tensor::scalar(count), {}, vector_of({5, 6})}, 2, loop(body));
    EXPECT_EQ(out[0].to_doubles(), (std::vector<double>{5, 6}));
    EXPECT_EQ(out[1].dims(), (Dims{0, 2}));
  }
}

TEST(ControlFlow, TheTurnIsCounted) {
  const GraphPtr body = loop_body({}, [](Graph& g, const std::vector<ValueId>& in) {
    return std::vector<ValueId>{in[1], op(g, "copy", "identity", {in[0]})};
  });
  const Tensor out = run("loop", {Tensor::of<int64_t>({1}, {4}), bool_tensor(true, {1})}, 1, loop(body))[0];
  EXPECT_EQ(out.to_int64s(), (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST(ControlFlow, RefusesALoopThatNeverEnds) {
  const GraphPtr body = loop_body({floats({2})}, [](Graph&, const std::vector<ValueId>& in) {
    return std::vector<ValueId>{in[1], in[2]};
  });
  EXPECT_NE(fault("loop", {{}, {}, vector_of({5, 6})}, 1, loop(body)).find("never ends"), std::string::npos);
}

TEST(ControlFlow, RefusesALoopWhoseCarriedTypeChanges) {
  const GraphPtr body = loop_body({floats({2})}, [](Graph& g, const std::vector<ValueId>& in) {
    return std::vector<ValueId>{in[1], op(g, "c", "cast", {in[2]}, {{"to", int64_t{7}}})};
  });
  EXPECT_NE(fault("loop", {Tensor::scalar<int64_t>(3), {}, vector_of({5, 6})}, 1, loop(body)), "");
}

TEST(ControlFlow, RefusesBodiesThatDoNotFit) {
  const GraphPtr body = loop_body({floats({2})}, [](Graph&, const std::vector<ValueId>& in) {
    return std::vector<ValueId>{in[1], in[2]};
  });
  const Tensor count = Tensor::scalar<int64_t>(3);
  EXPECT_NE(fault("loop", {count, {}}, 1, loop(body)).find("does not fit"), std::string::npos);
  EXPECT_NE(fault("loop", {count, {}, vector_of({1}), vector_of({1})}, 1, loop(body)).find("does not fit"),
            std::string::npos);
  EXPECT_NE(fault("loop", {count, {}, vector_of({1})}, 2, loop(body)).find("does not fit"), std::string::npos);
  EXPECT_NE(fault("loop", {count, {}, vector_of({1})}, 1, loop(body, 9)).find("captured values"), std::string::npos);
  EXPECT_NE(fault("loop", {count, {}, vector_of({1})}, 1, loop(body, -1)).find("captured values"), std::string::npos);
}

TEST(ControlFlow, RefusesCountsAndConditionsOfOtherTypes) {
  const GraphPtr body = loop_body({}, [](Graph& g, const std::vector<ValueId>& in) {
    return std::vector<ValueId>{in[1], op(g, "copy", "identity", {in[0]})};
  });
  EXPECT_NE(fault("loop", {Tensor::scalar(3.0f), {}}, 1, loop(body)).find("of type float32, which loop"),
            std::string::npos);
  EXPECT_NE(fault("loop", {Tensor::of<int64_t>({2}, {1, 2}), {}}, 1, loop(body)).find("has 2 elements"),
            std::string::npos);
  EXPECT_NE(
      fault("loop", {Tensor::scalar<int64_t>(3), Tensor::scalar(1.0f)}, 1, loop(body)).find("of type float32, which"),
      std::string::npos);
}

TEST(ControlFlow, RefusesCollectedValuesOfDifferentExtents) {
  const GraphPtr body = loop_body({{DType::kFloat32, Shape::of_rank(1)}}, [](Graph& g, const std::vector<ValueId>& in) {
    const ValueId one = g.add_constant("one", vector_of({1}));
    const ValueId next = op(g, "longer", "concat", {in[2], one}, {{"axis", int64_t{0}}});
    return std::vector<ValueId>{in[1], next, op(g, "copy", "identity", {next})};
  });
  EXPECT_NE(fault("loop", {Tensor::scalar<int64_t>(3), {}, vector_of({5})}, 2, loop(body)).find("collected from"),
            std::string::npos);
}

GraphPtr squeezed() {
  return branch({1, 2}, [](Graph& g, ValueId x) { return std::vector<ValueId>{op(g, "s", "squeeze", {x})}; });
}
GraphPtr passed() {
  return branch({1, 2}, [](Graph&, ValueId x) { return std::vector<ValueId>{x}; });
}

TEST(ControlFlow, BranchesMayHaveResultsOfDifferentRank) {
  const Tensor x = Tensor::of<float>({1, 2}, {3, 4});
  EXPECT_EQ(run("if", {bool_tensor(true), x}, 1, if_attrs(squeezed(), passed()))[0].dims(), Dims{2});
  EXPECT_EQ(run("if", {bool_tensor(false), x}, 1, if_attrs(squeezed(), passed()))[0].dims(), (Dims{1, 2}));
  One one("if", {bool_tensor(true), x}, 1, if_attrs(squeezed(), passed()));
  update_types(one.graph);
  EXPECT_FALSE(one.graph.value(one.node().output()).type.shape.ranked());
}

TEST(ControlFlow, RefusesBranchesThatDoNotFit) {
  const Tensor x = Tensor::of<float>({1, 2}, {3, 4});
  const GraphPtr integer =
      branch({2}, [](Graph& g, ValueId v) { return std::vector<ValueId>{op(g, "s", "shape", {v})}; });
  One mixed("if", {bool_tensor(true), x}, 1, if_attrs(passed(), integer));
  EXPECT_THROW(update_types(mixed.graph), Error);
  EXPECT_NE(fault("if", {bool_tensor(true), x}, 2, if_attrs(passed(), passed())).find("are expected"),
            std::string::npos);
  EXPECT_NE(fault("if", {bool_tensor(true)}, 1, if_attrs(passed(), passed())), "");
  EXPECT_NE(fault("if", {Tensor::scalar(1.0f), x}, 1, if_attrs(passed(), passed())).find("of type float32, which if"),
            std::string::npos);
  EXPECT_NE(fault("if", {bool_tensor(true, {2}), x}, 1, if_attrs(passed(), passed())), "");
}

TEST(ControlFlow, ValuesAreFollowedThroughAKnownBranch) {
  Graph graph;
  const ValueId x = graph.add_input("x", floats({3, 4}));
  const GraphPtr shape =
      branch({2}, [](Graph& g, ValueId v) { return std::vector<ValueId>{op(g, "s", "shape", {v})}; });
  const GraphPtr other = branch({2}, [](Graph& g, ValueId) {
    return std::vector<ValueId>{g.add_constant("c", Tensor::of<int64_t>({2}, {12, 1}))};
  });
  const ValueId yes = graph.add_constant("yes", bool_tensor(true));
  const ValueId target = op(graph, "target", "if", {yes, x}, if_attrs(shape, other));
  graph.set_outputs({op(graph, "y", "reshape", {x, target})});
  update_types(graph);
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.shape, Shape::of({3, 4}));
}

Attrs scan_attrs(int64_t scanned) {
  auto body = std::make_shared<Graph>();
  const ValueId sum = body->add_input("sum", floats({2}));
  const ValueId x = body->add_input("x", floats({2}));
  const ValueId next = op(*body, "next", "add", {sum, x});
  body->set_outputs({next, op(*body, "copy", "neg", {next})});
  return {{"body", GraphPtr(body)}, {"num_scan_inputs", scanned}};
}

TEST(ControlFlow, AScanOverNothingCollectsNothing) {
  const auto out = run("scan", {vector_of({5, 6}), Tensor::of<float>({0, 2}, {})}, 2, scan_attrs(1));
  EXPECT_EQ(out[0].to_doubles(), (std::vector<double>{5, 6}));
  EXPECT_EQ(out[1].dims(), (Dims{0, 2}));
}

TEST(ControlFlow, RefusesScansThatDoNotFit) {
  const Tensor x = Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  for (const int64_t scanned : {int64_t{0}, int64_t{3}, int64_t{-1}}) {
    EXPECT_NE(fault("scan", {vector_of({5, 6}), x}, 2, scan_attrs(scanned)).find("does not fit"), std::string::npos);
  }
  Attrs direction = scan_attrs(1);
  direction.set("scan_input_directions", std::vector<int64_t>{2});
  EXPECT_NE(fault("scan", {vector_of({5, 6}), x}, 2, direction).find("0 and 1 are known"), std::string::npos);
  Attrs axes = scan_attrs(1);
  axes.set("scan_input_axes", std::vector<int64_t>{0, 1});
  EXPECT_NE(fault("scan", {vector_of({5, 6}), x}, 2, axes).find("entries"), std::string::npos);
  Attrs far = scan_attrs(1);
  far.set("scan_output_axes", std::vector<int64_t>{4});
  EXPECT_NE(fault("scan", {vector_of({5, 6}), x}, 2, far), "");
  EXPECT_NE(fault("scan", {vector_of({5, 6}), Tensor::scalar(1.0f)}, 2, scan_attrs(1)), "");
}

TEST(ControlFlow, RefusesScannedInputsOfDifferentLengths) {
  auto body = std::make_shared<Graph>();
  const ValueId a = body->add_input("a", floats({2}));
  const ValueId b = body->add_input("b", floats({2}));
  body->set_outputs({op(*body, "sum", "add", {a, b})});
  const Attrs attrs = {{"body", GraphPtr(body)}, {"num_scan_inputs", int64_t{2}}};
  const Tensor three = Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor two = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  EXPECT_NE(fault("scan", {three, two}, 1, attrs).find("slices"), std::string::npos);
  EXPECT_EQ(run("scan", {three, three}, 1, attrs)[0].to_doubles(), (std::vector<double>{2, 4, 6, 8, 10, 12}));
}

TEST(ControlFlow, ABatchScanEndsEachSampleAtItsLength) {
  const Tensor states = Tensor::of<float>({2, 2}, {0, 0, 10, 10});
  const Tensor x = Tensor::of<float>({2, 3, 2}, {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
  const Tensor lengths = Tensor::of<int64_t>({2}, {3, 1});
  Attrs attrs = scan_attrs(1);
  auto out = run("batch_scan", {lengths, states, x}, 2, attrs);
  EXPECT_EQ(out[0].to_doubles(), (std::vector<double>{9, 12, 11, 12}));
  EXPECT_EQ(out[1].to_doubles(), (std::vector<double>{-1, -2, -4, -6, -9, -12, -11, -12, 0, 0, 0, 0}));
  attrs.set("directions", std::vector<int64_t>{1});
  out = run("batch_scan", {{}, states, x}, 2, attrs);
  EXPECT_EQ(out[1].to_doubles(), (std::vector<double>{-5, -6, -8, -10, -9, -12, -15, -16, -18, -20, -19, -22}));
  const Tensor beyond = Tensor::of<int64_t>({2}, {4, 1});
  EXPECT_NE(fault("batch_scan", {beyond, states, x}, 2, attrs).find("length of sample 0"), std::string::npos);
}

// A state whose rank grows at every turn: samples of different lengths end with different ranks.
TEST(ControlFlow, RefusesABatchScanWhoseStatesEndWithDifferentRanks) {
  auto body = std::make_shared<Graph>();
  const ValueId v = body->add_input("v", {DType::kFloat32, Shape()});
  const ValueId x = body->add_input("x", floats({}));
  const ValueId axis = body->add_constant("axis", Tensor::of<int64_t>({1}, {0}));
  body->set_outputs({op(*body, "deeper", "unsqueeze", {v, axis}), op(*body, "same", "identity", {x})});
  const Attrs attrs = {{"body", GraphPtr(body)}, {"num_scan_inputs", int64_t{1}}};
  const Tensor slices = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{0, 3}, {3, 0}, {1, 2}}) {
    const Tensor turns = Tensor::of<int64_t>({2}, lengths);
    EXPECT_NE(fault("batch_scan", {turns, vector_of({5, 6}), slices}, 2, attrs).find("collected from"),
              std::string::npos);
  }
}

TEST(ControlFlow, FindsAnOpaqueNodeAtAnyDepth) {
  auto inner = std::make_shared<Graph>();
  const ValueId x = inner->add_input("x", floats({2}));
  inner->set_outputs({inner->node(inner->add_node("odd", "d::Odd", nullptr, {x}, {"y"})).output()});
  const GraphPtr outer = branch({2}, [&](Graph& g, ValueId v) {
    const ValueId yes = g.add_constant("yes", bool_tensor(true));
    return std::vector<ValueId>{op(g, "if", "if", {yes, v}, if_attrs(inner, passed()))};
  });
  ASSERT_NE(find_opaque(*outer), nullptr);
  EXPECT_EQ(find_opaque(*outer)->name, "odd");
  EXPECT_EQ(find_opaque(*passed()), nullptr);
}

}  // namespace
}  // namespace amct::testing
