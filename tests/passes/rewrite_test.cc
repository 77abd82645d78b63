#include "passes/rewrite.h"

#include <gtest/gtest.h>

#include <limits>

#include "ir/text.h"
#include "ops/op_row.h"

namespace amct {
namespace {

Graph parse(const std::string& text) {
  return parse_text("opset \"\" 17\n" + text, [](std::string_view op) { return op_table().find(op); });
}

ClipBounds bounds_of(const std::string& inputs) {
  const Graph graph = parse(
      "%x: float32[3, 5] = input\n%l: float32[] = constant [-2.5]\n%h: float32[1] = constant [6]\n"
      "%two: float32[2] = constant [1, 2]\n%c: float32[] = reduce_max(%x, _) {keepdims=0}\n"
      "%y = clip(%x" +
      inputs + ")\noutput %y\n");
  return clip_bounds(graph, *graph.producer(graph.find_value("y")));
}

TEST(ClipBounds, AreInfiniteWhereAbsentAndUnknownWhereComputed) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  EXPECT_EQ(bounds_of(", %l, %h").low, -2.5);
  EXPECT_EQ(bounds_of(", %l, %h").high, 6);
  EXPECT_EQ(bounds_of(", _, %h").low, -kNone);
  EXPECT_EQ(bounds_of(", %l").high, kNone);
  EXPECT_EQ(bounds_of("").low, -kNone);
  EXPECT_EQ(bounds_of(", %c, %h").low, std::nullopt);
  EXPECT_EQ(bounds_of(", %c, %h").high, 6);
  EXPECT_EQ(bounds_of(", %l, %two").high, std::nullopt);
}

TEST(ReplaceInput, RemovesTheConstantThatNothingElseNeeds) {
  const std::string text =
      "%x: float32[3] = input\n%a: float32[3] = constant random(1)\n%b: float32[3] = constant random(2)\n"
      "%s = add(%x, %a)\n%t = mul(%s, %b)\n%y = add(%t, %b)\noutput %y\n";
  Graph graph = parse(text);
  const auto node = [&](const char* value) { return graph.value(graph.find_value(value)).producer; };
  replace_input(graph, node("s"), 1, graph.find_value("b"));
  EXPECT_FALSE(graph.find_value("a").valid());
  const ValueId fresh = graph.add_constant("c", Tensor::of<float>({3}, {1, 2, 3}));
  replace_input(graph, node("t"), 1, fresh);
  EXPECT_TRUE(graph.find_value("b").valid());  // others read it
  replace_input(graph, node("t"), 0, graph.find_value("x"));
  EXPECT_TRUE(graph.find_value("s").valid());  // it is computed
  const ValueId b = graph.find_value("b");
  graph.set_outputs({graph.find_value("y"), b});
  replace_input(graph, node("s"), 1, fresh);
  replace_input(graph, node("y"), 1, fresh);
  EXPECT_TRUE(graph.alive(b));  // a result of the graph
}

}  // namespace
}  // namespace amct
