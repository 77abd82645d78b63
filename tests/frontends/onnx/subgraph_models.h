// ONNX files with graphs inside nodes, for tests, and what is looked at once they are read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frontends/onnx/model_builder.h"
#include "ir/verify.h"
#include "ops/verify_ops.h"

namespace amct::testing {

inline wire::GraphProto& graph_attr(wire::NodeProto& node, const std::string& name) {
  auto& attr = *node.add_attribute();
  attr.set_name(name);
  attr.set_type(5);
  return *attr.mutable_g();
}

inline wire::NodeProto& add_node(google::protobuf::RepeatedPtrField<wire::NodeProto>& nodes, const std::string& type,
                                 std::initializer_list<std::string> inputs,
                                 std::initializer_list<std::string> outputs) {
  auto& node = *nodes.Add();
  node.set_op_type(type);
  for (const auto& input : inputs) node.add_input(input);
  for (const auto& output : outputs) node.add_output(output);
  return node;
}

inline void expect_sound(const Graph& graph) {
  EXPECT_EQ(verify(graph), std::vector<std::string>());
  EXPECT_EQ(verify_ops(graph), std::vector<std::string>());
}

inline const Graph& inside(const Graph& graph, std::string_view node, std::string_view attr) {
  return *graph.node(graph.find_node(node)).attrs.require<std::shared_ptr<const Graph>>(attr);
}

// z = If(c) {then: If(c) {then: x + y, else: y}, else: y}, where y = Relu(x).
inline ModelBuilder nested_ifs() {
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

}  // namespace amct::testing
