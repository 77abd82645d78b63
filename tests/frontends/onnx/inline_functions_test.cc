// Functions of the file: nodes in place of calls.
#include "frontends/onnx/inline_functions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "frontends/onnx/subgraph_models.h"
#include "ops/opaque.h"
#include "ops/subgraph.h"

namespace amct::testing {
namespace {

void add_float(wire::NodeProto& node, const std::string& name, float value) {
  auto& attr = *node.add_attribute();
  attr.set_name(name);
  attr.set_type(1);
  attr.set_f(value);
}

void add_ref(wire::NodeProto& node, const std::string& name, const std::string& ref) {
  auto& attr = *node.add_attribute();
  attr.set_name(name);
  attr.set_type(1);
  attr.set_ref_attr_name(ref);
}

wire::FunctionProto& add_function(ModelBuilder& builder, const std::string& name, int64_t opset = 13) {
  auto& function = *builder.model.add_functions();
  function.set_domain("own");
  function.set_name(name);
  function.add_opset_import()->set_version(opset);
  return function;
}

wire::NodeProto& call(ModelBuilder& builder, const std::string& function, const std::string& name,
                      std::initializer_list<std::string> inputs, std::initializer_list<std::string> outputs) {
  auto& node = builder.node(function, name, inputs, outputs);
  node.set_domain("own");
  return node;
}

// f(a; alpha = 0.25) = Neg(LeakyRelu(a, alpha))
void add_leak(ModelBuilder& builder) {
  auto& function = add_function(builder, "f");
  function.add_input("a");
  function.add_output("b");
  auto& fallback = *function.add_attribute_proto();
  fallback.set_name("alpha");
  fallback.set_type(1);
  fallback.set_f(0.25f);
  auto& leak = add_node(*function.mutable_node(), "LeakyRelu", {"a"}, {"t"});
  leak.set_name("leak");
  add_ref(leak, "alpha", "alpha");
  add_node(*function.mutable_node(), "Neg", {"t"}, {"b"});
}

TEST(InlineFunctions, CallsBecomeNodesWithNamesOfTheirOwn) {
  ModelBuilder builder = relu_model();
  add_leak(builder);
  call(builder, "f", "one", {"y"}, {"p"});
  add_float(call(builder, "f", "two", {"p"}, {"q"}), "alpha", 0.5f);
  builder.output("q");
  const Graph graph = builder.load();
  expect_sound(graph);
  EXPECT_EQ(graph.node(graph.find_node("one/leak")).attrs.require<double>("alpha"), 0.25);
  EXPECT_EQ(graph.node(graph.find_node("two/leak")).attrs.require<double>("alpha"), 0.5);
  EXPECT_EQ(graph.producer(graph.find_value("q"))->op, "neg");
  EXPECT_TRUE(graph.find_value("one/t").valid());
  EXPECT_TRUE(graph.info.opaque_sections.empty());
}

TEST(InlineFunctions, AnAttributeThatNobodyGivesGoes) {
  ModelBuilder builder = relu_model();
  add_leak(builder);
  builder.model.mutable_functions(0)->clear_attribute_proto();
  call(builder, "f", "one", {"y"}, {"p"});
  builder.output("p");
  EXPECT_FALSE(builder.load().node(builder.load().find_node("one/leak")).attrs.has("alpha"));
}

TEST(InlineFunctions, AFunctionHasItsOwnOpset) {
  ModelBuilder builder = relu_model();  // opset 13: axes of Squeeze are an input
  auto& function = add_function(builder, "f", 11);
  function.add_input("a");
  function.add_output("b");
  auto& squeeze = add_node(*function.mutable_node(), "Unsqueeze", {"a"}, {"b"});
  auto& axes = *squeeze.add_attribute();
  axes.set_name("axes");
  axes.set_type(7);
  axes.add_ints(0);
  call(builder, "f", "one", {"y"}, {"p"});
  builder.output("p");
  const Graph graph = builder.load();
  expect_sound(graph);
  EXPECT_EQ(graph.value(graph.outputs()[1]).type.shape, Shape::of({1, 2, 3}));
}

TEST(InlineFunctions, AnUnknownOperatorOfAnotherOpsetSaysWhich) {
  ModelBuilder builder = relu_model();
  auto& function = add_function(builder, "f", 11);
  function.add_input("a");
  function.add_output("b");
  add_node(*function.mutable_node(), "Frobnicate", {"a"}, {"b"});
  call(builder, "f", "one", {"y"}, {"p"});
  builder.output("p");
  const Graph graph = builder.load();
  const Node* odd = graph.producer(graph.outputs()[1]);
  EXPECT_TRUE(odd->is_opaque());
  EXPECT_EQ(odd->attrs.require<int64_t>(kOpaqueOpset), 11);
}

TEST(InlineFunctions, InputsThatArePassedThroughGetIdentities) {
  ModelBuilder builder = relu_model();
  auto& function = add_function(builder, "f");
  for (const char* name : {"a", "unused"}) function.add_input(name);
  function.add_output("a");
  function.add_output("n");
  function.add_output("n");
  add_node(*function.mutable_node(), "Neg", {"a"}, {"n"});
  call(builder, "f", "one", {"y"}, {"p", "q", "r"});
  for (const char* name : {"p", "q", "r"}) builder.output(name);
  const Graph graph = builder.load();
  expect_sound(graph);
  EXPECT_EQ(graph.producer(graph.find_value("p"))->op, "identity");
  EXPECT_EQ(graph.producer(graph.find_value("q"))->op, "neg");
  EXPECT_EQ(graph.producer(graph.find_value("r"))->op, "identity");
}

TEST(InlineFunctions, CallsInSubgraphsAndSubgraphsInFunctions) {
  ModelBuilder builder = nested_ifs();
  auto& function = add_function(builder, "pick");
  for (const char* name : {"cond", "a"}) function.add_input(name);
  function.add_output("b");
  auto& node = add_node(*function.mutable_node(), "If", {"cond"}, {"b"});
  for (const char* attr : {"then_branch", "else_branch"}) {
    auto& branch = graph_attr(node, attr);
    add_node(*branch.mutable_node(), attr[0] == 't' ? "Neg" : "Abs", {"a"}, {"x"});  // x is a name of the caller, too
    branch.add_output()->set_name("x");
  }
  auto& inner = *builder.graph().mutable_node(1)->mutable_attribute(0)->mutable_g();
  inner.mutable_node(0)->set_op_type("pick");
  inner.mutable_node(0)->set_domain("own");
  inner.mutable_node(0)->add_input("y");
  inner.mutable_node(0)->clear_attribute();
  const Graph graph = builder.load();
  expect_sound(graph);
  EXPECT_EQ(find_opaque(graph), nullptr);
  const Graph& yes = inside(graph, "outer", "then_branch");
  ASSERT_EQ(yes.node_count(), 1u);
  EXPECT_EQ(yes.node(yes.nodes()[0]).op, "if");
}

TEST(InlineFunctions, RecursionIsRefused) {
  ModelBuilder builder = relu_model();
  for (const char* name : {"f", "g"}) {
    auto& function = add_function(builder, name);
    function.add_input("a");
    function.add_output("b");
    add_node(*function.mutable_node(), name[0] == 'f' ? "g" : "f", {"a"}, {"b"}).set_domain("own");
  }
  EXPECT_EQ(builder.error(), "no error");  // nobody calls them
  call(builder, "f", "one", {"y"}, {"p"});
  builder.output("p");
  EXPECT_EQ(builder.error(), "function 'f' calls itself");
}

TEST(InlineFunctions, GrowthBeyondReasonIsRefused) {
  ModelBuilder builder = relu_model();
  for (int level = 0; level < 30; ++level) {
    auto& function = add_function(builder, "f" + std::to_string(level));
    function.add_input("a");
    function.add_output("c");
    for (const auto& [from, to] : {std::pair("a", "b"), std::pair("b", "c")}) {
      auto& node =
          add_node(*function.mutable_node(), level == 29 ? "Neg" : "f" + std::to_string(level + 1), {from}, {to});
      if (level < 29) node.set_domain("own");
    }
  }
  call(builder, "f0", "one", {"y"}, {"p"});
  builder.output("p");
  EXPECT_NE(builder.error(ErrorCode::kUnsupported).find("beyond reason"), std::string::npos);
}

// 2,000 calls of 20,000 inputs each: a small file, and much to name.
TEST(InlineFunctions, CallsOfFunctionsWithoutNodesAreCounted) {
  ModelBuilder builder = relu_model();
  auto& function = add_function(builder, "f");
  for (int i = 0; i < 20'000; ++i) function.add_input(fmt::format("i{}", i));
  function.add_output("i0");
  for (int i = 0; i < 2'000; ++i) call(builder, "f", fmt::format("c{}", i), {"y"}, {fmt::format("p{}", i)});
  builder.output("p0");
  EXPECT_NE(builder.error(ErrorCode::kUnsupported).find("beyond reason"), std::string::npos);
}

TEST(InlineFunctions, CallsThatDoNotFitAreFaults) {
  ModelBuilder builder = relu_model();
  add_leak(builder);
  call(builder, "f", "one", {"y", "x"}, {"p"});
  builder.output("p");
  EXPECT_NE(builder.error().find("is called with 2 and 1"), std::string::npos);
}

}  // namespace
}  // namespace amct::testing
