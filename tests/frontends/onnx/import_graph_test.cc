// Subgraphs of the file: closed graphs with captures.
#include "frontends/onnx/import_graph.h"

#include <gtest/gtest.h>

#include "frontends/onnx/subgraph_models.h"
#include "ops/opaque.h"
#include "ops/subgraph.h"

namespace amct::testing {
namespace {

std::vector<std::string> names(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<std::string> result;
  for (const ValueId id : ids) result.push_back(graph.value(id).name);
  return result;
}

using Strings = std::vector<std::string>;

TEST(ImportSubgraph, CapturesPassThroughEveryLevel) {
  const Graph graph = nested_ifs().load();
  expect_sound(graph);
  const Node& outer = graph.node(graph.find_node("outer"));
  EXPECT_EQ(outer.op, "if");
  EXPECT_EQ(names(graph, outer.inputs), (Strings{"c", "c", "x", "y"}));
  EXPECT_EQ(capture_count(outer), 3u);
  const Graph& yes = inside(graph, "outer", "then_branch");
  EXPECT_EQ(names(yes, yes.inputs()), (Strings{"c", "x", "y"}));
  EXPECT_EQ(names(yes, yes.node(yes.find_node("inner")).inputs), (Strings{"c", "x", "y"}));
  EXPECT_EQ(inside(yes, "inner", "else_branch").inputs().size(), 2u);
  EXPECT_EQ(inside(graph, "outer", "else_branch").inputs().size(), 3u);
}

// Weights inside stay where they lie in the file; of an operator that is not known they come back with its bytes.
TEST(ImportSubgraph, WeightsInsideAreNotCopied) {
  std::string floats(24 * 4, 'a');
  for (size_t i = 0; i < floats.size(); i += 4) floats[i] = static_cast<char>(i);
  floats.append(floats);  // long enough to be left out of what is parsed
  const auto weigh = [&](wire::GraphProto& graph, const std::string& name) {
    auto& tensor = *graph.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(kOnnxFloat);
    tensor.add_dims(48);
    tensor.set_raw_data(floats);
  };
  size_t in_place = 0;
  for (size_t shift = 1; shift <= 4; ++shift) {
    ModelBuilder builder;
    builder.model.set_producer_name(std::string(shift, 'p'));  // moves what follows
    builder.input("x", {48});
    builder.input("c", {}, 9);
    auto& node = builder.node("If", "if", {"c"}, {"y"});
    auto& yes = graph_attr(node, "then_branch");
    weigh(yes, "w");
    add_node(*yes.mutable_node(), "Add", {"x", "w"}, {"sum"});
    yes.add_output()->set_name("sum");
    auto& no = graph_attr(node, "else_branch");
    auto& unknown = add_node(*no.mutable_node(), "Unknown", {"x"}, {"u"});
    unknown.set_name("unknown");
    unknown.set_domain("somewhere");
    weigh(graph_attr(unknown, "body"), "inner");
    no.add_output()->set_name("u");
    builder.output("y");
    auto& opset = *builder.model.add_opset_import();
    opset.set_domain("somewhere");
    opset.set_version(1);
    const Graph graph = builder.load();
    const Graph& then_branch = inside(graph, "if", "then_branch");
    const Tensor& w = *then_branch.constant(then_branch.find_value("w"));
    const auto address = reinterpret_cast<uintptr_t>(w.bytes().data());
    EXPECT_EQ(w.is_resident(), address % 4 == 0);
    in_place += address % 4 != 0;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(w.bytes().data()), w.byte_size()), floats);
    const Graph& else_branch = inside(graph, "if", "else_branch");
    wire::NodeProto kept;
    ASSERT_TRUE(kept.ParseFromString(
        else_branch.node(else_branch.find_node("unknown")).attrs.require<std::string>(std::string(kOpaqueBytes))));
    EXPECT_EQ(kept.attribute(0).g().initializer(0).raw_data(), floats);
    EXPECT_FALSE(kept.attribute(0).g().initializer(0).has_mapped_payload());
  }
  EXPECT_GE(in_place, 2u) << "copies would lie at addresses that suit the type";
}

TEST(ImportSubgraph, TypesOfCapturesComeFromOutside) {
  const Graph graph = nested_ifs().load();
  const Graph& yes = inside(graph, "outer", "then_branch");
  EXPECT_EQ(yes.value(yes.outputs()[0]).type.shape, Shape::of({2, 3}));
  EXPECT_EQ(graph.value(graph.outputs()[1]).type.shape, Shape::of({2, 3}));
}

TEST(ImportSubgraph, ABranchMayGiveANameThatTheOtherReadsFromOutside) {
  ModelBuilder builder = relu_model();
  builder.input("c", {}, 9);
  auto& node = builder.node("If", "if", {"c"}, {"z"});
  auto& yes = graph_attr(node, "then_branch");
  add_node(*yes.mutable_node(), "Neg", {"x"}, {"y"});
  yes.add_output()->set_name("y");
  auto& no = graph_attr(node, "else_branch");
  add_node(*no.mutable_node(), "Abs", {"y"}, {"a"});
  no.add_output()->set_name("a");
  builder.output("z");
  const Graph graph = builder.load();
  expect_sound(graph);
  const Graph& then_branch = inside(graph, "if", "then_branch");
  EXPECT_EQ(then_branch.producer(then_branch.outputs()[0])->op, "neg");
}

TEST(ImportSubgraph, FaultsInsideNameTheirNode) {
  ModelBuilder builder = relu_model();
  builder.input("c", {}, 9);
  auto& node = builder.node("If", "if", {"c"}, {"z"});
  auto& yes = graph_attr(node, "then_branch");
  add_node(*yes.mutable_node(), "Neg", {"nowhere"}, {"y1"});
  yes.add_output()->set_name("y1");
  EXPECT_NE(builder.error().find("nowhere"), std::string::npos);
  yes.mutable_node(0)->set_input(0, "x");
  yes.mutable_output(0)->set_name("missing");
  EXPECT_NE(builder.error().find("missing"), std::string::npos);
}

TEST(ImportSubgraph, ABranchIsNotMissing) {
  ModelBuilder builder = relu_model();
  builder.input("c", {}, 9);
  auto& yes = graph_attr(builder.node("If", "if", {"c"}, {"z"}), "then_branch");
  add_node(*yes.mutable_node(), "Neg", {"x"}, {"y1"});
  yes.add_output()->set_name("y1");
  EXPECT_EQ(builder.error(), "attribute 'else_branch' is missing");
}

TEST(ImportSubgraph, LoopsNestedTooDeeplyAreRefused) {
  ModelBuilder builder = relu_model();
  builder.input("n", {}, 7);
  auto* nodes = builder.graph().mutable_node();
  for (int depth = 0; depth < 8; ++depth) {
    auto& body = graph_attr(add_node(*nodes, "Loop", {"n", ""}, {"s" + std::to_string(depth)}), "body");
    const std::string level = std::to_string(depth);
    ModelBuilder::set_type(*body.add_input(), "i" + level, {}, 7);
    ModelBuilder::set_type(*body.add_input(), "g" + level, {}, 9);
    add_node(*body.mutable_node(), "Identity", {"g" + level}, {"more" + level});
    add_node(*body.mutable_node(), "Abs", {"x"}, {"e" + level});
    body.add_output()->set_name("more" + level);
    body.add_output()->set_name("e" + level);
    nodes = body.mutable_node();
  }
  EXPECT_NE(builder.error().find("nested"), std::string::npos);
}

}  // namespace
}  // namespace amct::testing
