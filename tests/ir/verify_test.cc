#include "ir/verify.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace amct {
namespace {

struct Sound {
  Graph graph;
  ValueId x, w, y, z;
  NodeId first, second;

  Sound() {
    x = graph.add_input("x", {DType::kFloat32, Shape::of({2, 3})});
    w = graph.add_constant("w", Tensor::of<float>({3}, {1, 2, 3}));
    first = graph.add_node("first", "d::A", nullptr, {x, w}, {"y"});
    y = graph.node(first).output();
    second = graph.add_node("second", "d::B", nullptr, {y, kNoValue, y}, {"z", "", "z2"});
    z = graph.node(second).output();
    graph.set_outputs({z});
  }

  void expect_fault(const std::string& part) const {
    const std::vector<std::string> faults = verify(graph);
    EXPECT_TRUE(std::any_of(faults.begin(), faults.end(),
                            [&](const std::string& fault) { return fault.find(part) != std::string::npos; }))
        << "expected '" << part << "', found " << (faults.empty() ? "no faults" : faults.front());
  }
};

TEST(Verify, SoundGraphHasNoFaults) {
  Sound s;
  EXPECT_TRUE(verify(s.graph).empty());
  Graph copy = s.graph;
  EXPECT_TRUE(verify(copy).empty());
}

TEST(Verify, InputWithoutUse) {
  Sound s;
  s.graph.value(s.w).uses.clear();
  s.expect_fault("value 'w' lists its use by input 1 of node 'first' 0 times");
}

TEST(Verify, UseListedTwice) {
  Sound s;
  s.graph.value(s.w).uses.push_back(s.graph.value(s.w).uses[0]);
  s.expect_fault("value 'w' lists its use by input 1 of node 'first' 2 times");
}

TEST(Verify, UseThatNobodyMakes) {
  Sound s;
  s.graph.value(s.w).uses.push_back({s.second, 1});
  s.expect_fault("value 'w' lists a use that node 'second' does not make");
}

TEST(Verify, UseByDeletedNode) {
  Sound s;
  s.graph.value(s.w).uses.push_back({NodeId{99}, 0});
  s.expect_fault("value 'w' is used by a deleted node");
}

TEST(Verify, DanglingInput) {
  Sound s;
  s.graph.node(s.second).inputs[1] = ValueId{99};
  s.expect_fault("node 'second' reads a deleted value at input 1");
}

TEST(Verify, DanglingOutput) {
  Sound s;
  s.graph.node(s.second).outputs[1] = ValueId{99};
  s.expect_fault("node 'second' produces a deleted value at output 1");
}

TEST(Verify, ForeignProducer) {
  Sound s;
  s.graph.value(s.y).producer = s.second;
  s.expect_fault("output 0 of node 'first' is value 'y', which names another producer");
  s.expect_fault("computed value 'y' has no producer");
}

TEST(Verify, TwoNodesProduceOneValue) {
  Sound s;
  s.graph.node(s.second).outputs[1] = s.y;
  s.expect_fault("output 1 of node 'second' is value 'y', which names another producer");
}

TEST(Verify, InputWithProducer) {
  Sound s;
  s.graph.value(s.x).producer = s.first;
  s.expect_fault("value 'x' is not computed and has a producer");
}

TEST(Verify, ConstantWithoutData) {
  Sound s;
  s.graph.value(s.w).data = Tensor();
  s.expect_fault("constant 'w' has no data");
}

TEST(Verify, ConstantOfAnotherType) {
  Sound s;
  s.graph.value(s.w).type.shape = Shape::of({4});
  s.expect_fault("constant 'w' of type float32[4] holds data of type float32[3]");
}

TEST(Verify, ComputedWithData) {
  Sound s;
  s.graph.value(s.y).data = Tensor::scalar(1.0f);
  s.expect_fault("value 'y' is no constant and has data");
}

TEST(Verify, DuplicateValueName) {
  Sound s;
  s.graph.value(s.y).name = "z";
  s.expect_fault("value 'z' is not found by its name");
}

TEST(Verify, DuplicateNodeName) {
  Sound s;
  s.graph.node(s.first).name = "second";
  s.expect_fault("node 'second' is not found by its name");
}

TEST(Verify, EmptyNames) {
  Sound s;
  s.graph.node(s.first).name.clear();
  s.graph.node(s.first).op.clear();
  s.graph.value(s.y).name.clear();
  s.expect_fault("node 0 has no name");
  s.expect_fault("has no operator");
  s.expect_fault("has no name");
}

TEST(Verify, UnlistedInput) {
  Sound s;
  s.graph.value(s.w).kind = ValueKind::kInput;
  s.expect_fault("input 'w' is not listed as a graph input");
}

TEST(Verify, ListedInputThatIsNone) {
  Sound s;
  s.graph.value(s.x).kind = ValueKind::kVariable;
  s.expect_fault("graph input 'x' is not an input");
}

TEST(Verify, DeletedOutput) {
  Sound s;
  s.graph.set_outputs({ValueId{99}});
  s.expect_fault("a graph output is a deleted value");
}

TEST(Verify, Cycle) {
  Sound s;
  s.graph.set_input(s.first, 0, s.z);
  s.expect_fault("the graph has a cycle, in node 'first'");
}

TEST(Verify, FaultInSubgraph) {
  Sound s;
  Sound inner;
  inner.graph.value(inner.w).data = Tensor();
  s.graph.node(s.first).attrs.set("body", std::make_shared<const Graph>(inner.graph));
  s.graph.node(s.second).attrs.set("gone", std::shared_ptr<const Graph>());
  s.expect_fault("graph 'body' of node 'first': constant 'w' has no data");
  s.expect_fault("attribute 'gone' of node 'second' is a graph that is not there");
}

TEST(Verify, AllFaultsAtOnce) {
  Sound s;
  s.graph.value(s.w).data = Tensor();
  s.graph.set_outputs({ValueId{99}});
  EXPECT_EQ(verify(s.graph).size(), 2u);
}

}  // namespace
}  // namespace amct
