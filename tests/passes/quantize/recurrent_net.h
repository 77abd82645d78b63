// A graph of one recurrent layer, and a plan with factors for it.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "ops/infer.h"
#include "ops/op_row.h"
#include "ops/recurrent.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/weight_scales.h"
#include "support/tensor_makers.h"

namespace amct::testing {

using namespace recurrent;

inline constexpr int64_t kInputs = 5, kHidden = 7, kBatch = 2;

struct RecurrentNet {
  bool lstm;
  int64_t steps;
  Graph graph;
  NodeId layer;

  explicit RecurrentNet(bool of_lstm, int64_t of_steps = 6) : lstm(of_lstm), steps(of_steps) {
    std::mt19937_64 random(11);
    const int64_t rows = (lstm ? 4 : 3) * kHidden;
    const auto constant = [&](const char* name, Dims dims) {
      return graph.add_constant(name, random_tensor(DType::kFloat32, dims, -0.6, 0.5, random));
    };
    std::vector<ValueId> inputs{graph.add_input("x", {DType::kFloat32, Shape::of({steps, kBatch, kInputs})}),
                                constant("w", {1, rows, kInputs}),
                                constant("r", {1, rows, kHidden}),
                                constant("b", {1, 2 * rows}),
                                kNoValue,
                                graph.add_input("h", {DType::kFloat32, Shape::of({1, kBatch, kHidden})})};
    if (lstm) inputs.push_back(graph.add_input("c", {DType::kFloat32, Shape::of({1, kBatch, kHidden})}));
    Attrs attrs{{"hidden_size", kHidden}};
    if (!lstm) attrs.set("linear_before_reset", int64_t{1});
    const char* op = lstm ? "lstm" : "gru";
    const std::vector<std::string> names =
        lstm ? std::vector<std::string>{"y", "y_h", "y_c"} : std::vector<std::string>{"y", "y_h"};
    layer = graph.add_node("layer", op, &op_table().get(op), inputs, names, attrs);
    graph.set_outputs(graph.node(layer).outputs);
    update_types(graph);
  }

  Node& node() { return graph.node(layer); }
  ValueId identity(ValueId of) { return graph.node(add_op(graph, "same", "identity", {of})).output(); }

  std::string reason() {
    update_types(graph);
    const Plan plan = plan_layers(graph);
    EXPECT_EQ(plan.layers.size(), 1u);
    EXPECT_EQ(plan.layers[0].quantize, plan.layers[0].reason.empty());
    return plan.layers[0].reason;
  }

  std::vector<Tensor> feeds(uint64_t seed, double size = 1) const {
    std::mt19937_64 random(seed);
    std::vector<Tensor> result;
    for (const ValueId id : graph.inputs()) {
      result.push_back(random_tensor(DType::kFloat32, *graph.value(id).type.shape.fixed(), -size, size, random));
    }
    return result;
  }

  Plan filled_plan(int bits = 8) const {
    Plan plan = plan_layers(graph);
    LayerPlan& layer_plan = plan.layers[0];
    const float levels = bits == 8 ? 255 : 65535;
    layer_plan.activation = {.bits = bits, .factor = ScaleOffset{2 / levels, bits == 8 ? 3 : 100}};
    layer_plan.hidden->activation = {.bits = bits, .factor = ScaleOffset{1.8f / levels, bits == 8 ? -4 : -90}};
    fill_weight_scales(graph, plan);
    return plan;
  }
};

}  // namespace amct::testing
