// Every sample of every row with the element type or the extents of inputs not known, as behind an operator that is not
// known either: shape rules say what they can and have nothing against it.
#include <gtest/gtest.h>

#include <functional>

#include "support/each_sample.h"
#include "support/errors.h"

namespace amct::testing {
namespace {

using Input = InferContext::Input;

// Calls `f` for the types of the sample's inputs with `forget` applied to one of those that are not constants, and to
// all of them.
void for_each_forgotten(const Sample& sample, const SampleNode& node, const std::function<void(Input&)>& forget,
                        const std::function<void(std::vector<Input>)>& f) {
  std::vector<Input> all;
  for (const Tensor& input : node.inputs) {
    all.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, input ? &input : nullptr});
  }
  const std::vector<Input> known = all;
  for (size_t port = 0; port < known.size(); ++port) {
    if (!known[port].present || sample.inputs[port].constant) continue;
    std::vector<Input> one = known;
    for (std::vector<Input>* inputs : {&one, &all}) {
      inputs->at(port).value = nullptr;
      forget(inputs->at(port));
    }
    f(std::move(one));
  }
  f(std::move(all));
}

void infer_without(const std::function<void(Input&)>& forget) {
  for_each_sample([&](const OpRow& row, const Sample& sample, const SampleNode& node) {
    for_each_forgotten(sample, node, forget, [&](std::vector<Input> inputs) {
      InferContext context(node.node(), std::move(inputs));
      row.infer(context);  // an error fails the test, which names the sample
    });
  });
}

TEST(Infer, ElementTypesMayBeUnknown) {
  infer_without([](Input& input) { input.type.dtype = DType::kUndefined; });
}

TEST(Infer, ShapesMayBeUnknown) {
  infer_without([](Input& input) { input.type.shape = Shape(); });
}

TEST(Infer, ExtentsMayBeUnknown) {
  infer_without([](Input& input) { input.type.shape = Shape::of_rank(input.type.shape.rank()); });
}

TEST(Infer, NothingMayBeKnown) {
  infer_without([](Input& input) { input.type = TensorType(); });
}

TEST(Infer, ExcuseNoMistakes) {
  const Tensor row = Tensor::of<float>({3}, {1, 2, 3});
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kUndefined, Shape::of({5, 3})});
  const ValueId w = graph.add_constant("w", row);
  const NodeId id = graph.add_node("product", "gemm", &op_table().get("gemm"), {x, w}, {"y"});
  graph.set_outputs(graph.node(id).outputs);
  EXPECT_ERROR(infer_types(graph), "input 1 has rank 1; 2 is needed, in node 'product' (gemm)");
}

}  // namespace
}  // namespace amct::testing
