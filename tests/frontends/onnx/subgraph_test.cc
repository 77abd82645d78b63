// Subgraphs and functions of the file: closed graphs with captures, and nodes in place of calls.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ir/verify.h"
#include "model_builder.h"
#include "ops/opaque.h"
#include "ops/subgraph.h"
#include "ops/verify_ops.h"

namespace amct::testing {
namespace {

wire::GraphProto& graph_attr(wire::NodeProto& node, const std::string& name) {
  auto& attr = *node.add_attribute();
  attr.set_name(name);
  attr.set_type(5);
  return *attr.mutable_g();
}

wire::NodeProto& add_node(google::protobuf::RepeatedPtrField<wire::NodeProto>& nodes, const std::string& type,
                          std::initializer_list<std::string> inputs, std::initializer_list<std::string> outputs) {
  auto& node = *nodes.Add();
  node.set_op_type(type);
  for (const auto& input : inputs) node.add_input(input);
  for (const auto& output : outputs) node.add_output(output);
  return node;
}

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

void expect_sound(const Graph& graph) {
  EXPECT_EQ(verify(graph), std::vector<std::string>());
  EXPECT_EQ(verify_ops(graph), std::vector<std::string>());
}

const Graph& inside(const Graph& graph, std::string_view node, std::string_view attr) {
  return *graph.node(graph.find_node(node)).attrs.require<std::shared_ptr<const Graph>>(attr);
}

std::vector<std::string> names(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<std::string> result;
  for (const ValueId id : ids) result.push_back(graph.value(id).name);
  return result;
}

using Strings = std::vector<std::string>;

// z = If(c) {then: If(c) {then: x + y, else: y}, else: y}, where y = Relu(x).
ModelBuilder nested_ifs() {
  ModelBuilder builder = relu_model();
  builder.input("c", {}, 9);
  auto& outer = builder.node("If", "outer", {"c"}, {"z"});
  auto& yes = graph_attr(outer, "then_branch");
  auto& inner = add_node(*yes.mutable_node(), "If", {"c"}, {"p"});
  inner.set_name("inner");
  yes.add_output()->set_name("p");
  auto& deep = graph_attr(inner, "then_branch");
  add_node(*deep.mutable_node(), "Add", {"x", "y"}, {"sum"});
  deep.add_output()->set_name("sum");
  auto& flat = graph_attr(inner, "else_branch");
  add_node(*flat.mutable_node(), "Neg", {"y"}, {"n"});
  flat.add_output()->set_name("n");
  auto& no = graph_attr(outer, "else_branch");
  add_node(*no.mutable_node(), "Abs", {"y"}, {"a"});
  no.add_output()->set_name("a");
  builder.output("z");
  return builder;
}

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

// --- functions -------------------------------------------------------------------------------------------------------

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
