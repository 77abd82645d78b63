// Subgraphs on their way back into a file: captures are references again, whatever was renamed meanwhile.
#include <gtest/gtest.h>

#include <fstream>

#include "exec/session.h"
#include "export/onnx/pieces.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/model_builder.h"
#include "ir/verify.h"
#include "ops/control_flow.h"
#include "support/graphs.h"
#include "support/subgraphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

wire::ModelProto written(const Graph& graph) {
  const ScratchFolder folder;
  write_onnx(graph, folder / "m.onnx");
  wire::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(read_bytes(folder / "m.onnx")));
  return model;
}

Graph read_back(const Graph& graph) {
  const ScratchFolder folder;
  write_onnx(graph, folder / "m.onnx");
  return load_onnx(folder / "m.onnx");
}

// z = if(c) {x * y} else {y}, where y = relu(x).
Graph branching() {
  const TensorType type{DType::kFloat32, Shape::of({2, 3})};
  const auto branch = [&](bool product) {
    auto graph = std::make_shared<Graph>();
    const ValueId x = graph->add_input("x", type);
    const ValueId y = graph->add_input("y", type);
    graph->set_outputs({product ? op(*graph, "product", "mul", {x, y}) : y});
    return GraphPtr(graph);
  };
  Graph graph;
  graph.info.opsets = {{"", 17}};
  const ValueId c = graph.add_input("c", {DType::kBool, Shape::of({})});
  const ValueId x = graph.add_input("x", type);
  const ValueId y = op(graph, "y", "relu", {x});
  graph.set_outputs({op(graph, "z", "if", {c, x, y}, if_attrs(branch(true), branch(false), 2))});
  update_types(graph);
  return graph;
}

const wire::GraphProto& subgraph(const wire::NodeProto& node, std::string_view name) {
  for (const auto& attr : node.attribute()) {
    if (attr.name() == name) return attr.g();
  }
  throw Error(ErrorCode::kInternal, "no attribute " + std::string(name));
}

void expect_same_results(const Graph& a, const Graph& b) {
  std::mt19937_64 random(3);
  const Tensor x = random_tensor(DType::kFloat32, {2, 3}, -1, 1, random);
  for (const bool c : {true, false}) {
    const Tensor expected = Session{Graph(a)}.run({bool_tensor(c), x})[0];
    EXPECT_TRUE(Session{Graph(b)}.run({bool_tensor(c), x})[0].same_bytes(expected));
  }
}

TEST(WriteSubgraph, CapturesBecomeReferences) {
  const Graph graph = branching();
  const wire::NodeProto node = written(graph).graph().node(1);
  EXPECT_EQ(node.input_size(), 1);
  EXPECT_EQ(node.attribute_size(), 2);
  const wire::GraphProto& yes = subgraph(node, "then_branch");
  EXPECT_EQ(yes.input_size(), 0);
  EXPECT_EQ(yes.node(0).input(0), "x");
  EXPECT_EQ(yes.node(0).input(1), "y");
  EXPECT_EQ(yes.output(0).name(), "product");
  expect_same_results(graph, read_back(graph));
}

TEST(WriteSubgraph, AResultThatIsACaptureIsCopied) {
  const wire::NodeProto node = written(branching()).graph().node(1);
  const wire::GraphProto& no = subgraph(node, "else_branch");
  ASSERT_EQ(no.node_size(), 1);
  EXPECT_EQ(no.node(0).op_type(), "Identity");
  EXPECT_EQ(no.node(0).input(0), "y");
}

TEST(WriteSubgraph, ReferencesFollowRenamedValues) {
  Graph graph = branching();
  graph.rename_value(graph.find_value("y"), "product");  // the name of a value inside
  const wire::NodeProto node = written(graph).graph().node(1);
  const wire::GraphProto& yes = subgraph(node, "then_branch");
  EXPECT_EQ(yes.node(0).input(1), "product");
  EXPECT_NE(yes.output(0).name(), "product");
  expect_same_results(branching(), read_back(graph));
}

TEST(WriteSubgraph, NamesMayBeExchangedOutside) {
  Graph graph = branching();
  graph.rename_value(graph.find_value("x"), "t");
  graph.rename_value(graph.find_value("y"), "x");
  graph.rename_value(graph.find_value("t"), "y");
  const wire::NodeProto node = written(graph).graph().node(1);
  const wire::GraphProto& yes = subgraph(node, "then_branch");
  EXPECT_EQ(yes.node(0).input(0), "y");
  EXPECT_EQ(yes.node(0).input(1), "x");
  expect_same_results(branching(), read_back(graph));
}

TEST(WriteSubgraph, TwoCapturesOfOneValueAreOneReference) {
  Graph graph = branching();
  const NodeId id = graph.find_node("z");
  graph.set_input(id, 1, graph.find_value("y"));
  const wire::NodeProto node = written(graph).graph().node(1);
  const wire::GraphProto& yes = subgraph(node, "then_branch");
  EXPECT_EQ(yes.node(0).input(0), "y");
  EXPECT_EQ(yes.node(0).input(1), "y");
  expect_same_results(graph, read_back(graph));
}

TEST(WriteSubgraph, ConstantsInsideAreInitializersThere) {
  Graph graph = branching();
  auto inner = std::make_shared<Graph>();
  inner->add_input("x", {DType::kFloat32, Shape::of({2, 3})});
  const ValueId y = inner->add_input("y", {DType::kFloat32, Shape::of({2, 3})});
  const ValueId k = inner->add_constant("k", Tensor::of<float>({3}, {1, 2, 3}));
  inner->set_outputs({op(*inner, "sum", "add", {y, k})});
  graph.node(graph.find_node("z")).attrs.set("then_branch", GraphPtr(inner));
  const wire::ModelProto model = written(graph);
  EXPECT_EQ(model.graph().initializer_size(), 0);
  EXPECT_EQ(subgraph(model.graph().node(1), "then_branch").initializer(0).name(), "k");
  expect_same_results(graph, read_back(graph));
}

// An operator that is written as several nodes with helpers of its own, inside and outside.
TEST(WriteSubgraph, HelpersInsideAndOutsideHaveDifferentNames) {
  const TensorType type{DType::kFloat32, Shape::of({2, 3})};
  Graph graph;
  graph.info.opsets = {{"", 17}};
  const ValueId c = graph.add_input("c", {DType::kBool, Shape::of({})});
  const ValueId x = graph.add_input("x", type);
  const auto branch = [&] {
    auto inner = std::make_shared<Graph>();
    const ValueId in = inner->add_input("in", type);
    inner->set_outputs({op(*inner, "clip", "clip", {in, inner->add_constant("low", Tensor::scalar(0.25f))})});
    return GraphPtr(inner);
  };
  const ValueId low = graph.add_constant("low", Tensor::scalar(-0.25f));
  const ValueId y = op(graph, "clip", "clip", {x, low});
  graph.set_outputs(
      {op(graph, "z", "if", {c, y}, {{"then_branch", branch()}, {"else_branch", branch()}, {"captures", int64_t{1}}})});
  update_types(graph);
  const wire::ModelProto model = written(graph);
  const wire::GraphProto& yes = subgraph(model.graph().node(1), "then_branch");
  EXPECT_EQ(model.graph().initializer(0).name(), "low");
  ASSERT_EQ(yes.initializer_size(), 1);
  EXPECT_NE(yes.initializer(0).name(), "low");
  EXPECT_EQ(verify(read_back(graph)), std::vector<std::string>());
  expect_same_results(graph, read_back(graph));
}

// What protobuf does not write: it would leave a part of the node out and say so to nobody but its log.
TEST(WriteSubgraph, RefusesNodesOfMoreThanTwoGigabytes) {
  onnx_file::check_message_size(2'147'483'647);
  try {
    onnx_file::check_message_size(2'147'483'648);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(error.message().find("it takes 2147483648 bytes, its subgraphs included"), std::string::npos);
  }
}

}  // namespace
}  // namespace amct::testing
