#include "passes/quantize/data_dependence.h"

#include <gtest/gtest.h>

#include <functional>

#include "ops/control_flow.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

const Node& node_of(const Graph& graph, const char* name) { return graph.node(graph.find_node(name)); }

bool data_decides(const Graph& graph, const char* name) {
  return shape_depends_on_data(node_of(graph, name), depends_on_data(graph));
}

ValueId ints(Graph& graph, const std::string& name, std::vector<int64_t> values) {
  const auto count = static_cast<int64_t>(values.size());
  return graph.add_constant(name, Tensor::of<int64_t>({count}, std::move(values)));
}

// A slice of x [4, 7] along its first axis, up to `end`.
void add_slice(Graph& graph, ValueId x, ValueId end) {
  op(graph, "slice", "slice", {x, ints(graph, "from", {0}), end, ints(graph, "axes", {0})});
}

TEST(DataDependence, OfASliceIsThatOfItsEnds) {
  Graph graph;
  const ValueId x = float_input(graph, {4, 7});
  const ValueId top = op(graph, "top", "reduce_max", {x, ints(graph, "all", {0, 1})}, {{"keepdims", int64_t{0}}});
  const ValueId turned = op(graph, "turned", "reshape", {top, ints(graph, "one", {1})});
  add_slice(graph, x, op(graph, "cast", "cast", {turned}, {{"to", int64_t{7}}}));
  EXPECT_TRUE(data_decides(graph, "slice"));
  EXPECT_FALSE(data_decides(graph, "turned")) << "data in a shape that is constant";
  EXPECT_FALSE(data_decides(graph, "cast"));
}

TEST(DataDependence, ExtentsAreNoData) {
  Graph graph;
  const ValueId x = float_input(graph, {4, 7});
  const ValueId shape = op(graph, "shape", "shape", {x});
  const ValueId rows = op(graph, "rows", "gather", {shape, ints(graph, "first", {0})});
  add_slice(graph, x, op(graph, "half", "div", {rows, ints(graph, "two", {2})}));
  EXPECT_FALSE(data_decides(graph, "slice"));
  EXPECT_TRUE(depends_on_data(graph)[node_of(graph, "slice").output().index]) << "its numbers do";
}

// A loop that adds w to v and collects the sums. `again` makes the condition of a body out of the one that comes in,
// the sum and the turn.
using Condition = std::function<ValueId(Graph& body, ValueId cond, ValueId sum, ValueId turn)>;
struct LoopOf {
  Graph graph;
  ValueId x = float_input(graph, {3});
  bool collects = true;

  bool decided_by_data(ValueId count, const Condition& again) {
    auto body = std::make_shared<Graph>();
    const ValueId turn = body->add_input("turn", {DType::kInt64, Shape::of({})});
    const ValueId cond = body->add_input("cond", {DType::kBool, Shape::of({})});
    const ValueId v = body->add_input("v", {DType::kFloat32, Shape::of({3})});
    const ValueId w = body->add_input("w", {DType::kFloat32, Shape::of({3})});
    const ValueId sum = op(*body, "sum", "add", {v, w});
    std::vector<ValueId> outputs = {again(*body, cond, sum, turn), sum};
    std::vector<std::string> names = {"last"};
    if (collects) {
      outputs.push_back(op(*body, "twice", "mul", {sum, sum}));
      names.push_back("rows");
    }
    body->set_outputs(std::move(outputs));
    const ValueId w0 = graph.add_constant("w", uniform({3}, 1));
    const ValueId yes = graph.add_constant("yes", bool_tensor(true));
    graph.add_node("loop", "loop", op_table().find("loop"), {count, yes, x, w0}, names,
                   {{"body", std::shared_ptr<const Graph>(body)}, {"captures", int64_t{1}}});
    return data_decides(graph, "loop");
  }
};

const Condition kGoOn = [](Graph&, ValueId cond, ValueId, ValueId) { return cond; };
const Condition kUntilLarge = [](Graph& body, ValueId, ValueId sum, ValueId) {
  const ValueId axes = ints(body, "axes", {0});
  const ValueId most = op(body, "most", "reduce_max", {sum, axes}, {{"keepdims", int64_t{0}}});
  return op(body, "small", "less", {most, body.add_constant("limit", Tensor::scalar(4.0f))});
};
const Condition kUntilFifth = [](Graph& body, ValueId, ValueId, ValueId turn) {
  return op(body, "early", "less", {turn, body.add_constant("limit", Tensor::scalar<int64_t>(5))});
};

TEST(DataDependence, OfALoopIsThatOfItsTurns) {
  const auto of_seven = [](const Condition& again, bool collects) {
    LoopOf loop;
    loop.collects = collects;
    return loop.decided_by_data(loop.graph.add_constant("count", Tensor::scalar<int64_t>(7)), again);
  };
  EXPECT_FALSE(of_seven(kGoOn, true));
  EXPECT_TRUE(of_seven(kUntilLarge, true));
  EXPECT_TRUE(of_seven(kUntilFifth, true)) << "turns are not counted ahead";
  EXPECT_FALSE(of_seven(kUntilLarge, false)) << "its last sum has the shape of the first";
}

TEST(DataDependence, OfALoopIsThatOfItsTripCount) {
  LoopOf loop;
  EXPECT_TRUE(loop.decided_by_data(loop.graph.add_input("n", {DType::kInt64, Shape::of({})}), kGoOn));
  LoopOf by_extent;
  const ValueId rows = op(by_extent.graph, "size", "size", {by_extent.x});
  EXPECT_FALSE(by_extent.decided_by_data(rows, kGoOn));
}

}  // namespace
}  // namespace amct::testing
