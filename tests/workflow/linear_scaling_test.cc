// Everything that `quantize` does to a graph besides running it takes time in proportion to its nodes: 200,000 nodes at
// most six times as long as 50,000, whether the graph is long, wide, or made of blocks (a quadratic step would make it
// sixteen). Processor time, because other work on the machine would blur the ratio.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <limits>
#include <ostream>

#include "base/files.h"
#include "data/temporary_folder.h"
#include "export/onnx/write_onnx.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/tensor_inputs.h"
#include "passes/quantize/weight_scales.h"
#include "recipe/plan_json.h"
#include "recipe/quant_json.h"
#include "recipe/record_file.h"
#include "workflow/model.h"
#include "workflow/observed_tensors.h"
#include "workflow/plan_settings.h"

namespace amct::testing {
namespace {

constexpr double kLargestRatio = 6;

using Build = std::function<ValueId(Graph&, ValueId input, int nodes)>;

ValueId append(Graph& graph, std::string_view op, std::vector<ValueId> inputs, Attrs attrs = {}) {
  const NodeId id = add_op(graph, std::string(op), op, std::move(inputs), std::move(attrs));
  return graph.node(id).output();
}

// Convolution, ReLU, identity, residual addition, again and again.
ValueId layers(Graph& graph, ValueId x, int nodes) {
  for (int i = 0; i < nodes / 4; ++i) {
    std::vector<float> weight(16, 0.01f * static_cast<float>(i % 7 - 3));
    const ValueId w = graph.add_constant("w", Tensor::of<float>({4, 4, 1, 1}, weight));
    const ValueId active = append(graph, "relu", {append(graph, "conv", {x, w})});
    x = append(graph, "add", {append(graph, "identity", {active}), active});
  }
  return x;
}

// A chain without layers.
ValueId chain(Graph& graph, ValueId x, int nodes) {
  for (int i = 0; i < nodes; ++i) x = append(graph, i % 2 == 0 ? "sigmoid" : "relu", {x});
  return x;
}

// One constant that half of the nodes read, and one value that all of them add up.
ValueId fan_out(Graph& graph, ValueId x, int nodes) {
  const ValueId shared = graph.add_constant("shared", Tensor::of<float>({1, 4, 1, 1}, {1, 2, 3, 4}));
  ValueId sum = x;
  for (int i = 0; i < nodes / 2; ++i) sum = append(graph, "add", {sum, append(graph, "mul", {x, shared})});
  return sum;
}

// A constant that passes take off half of the nodes one by one.
ValueId neutral_fan_out(Graph& graph, ValueId x, int nodes) {
  const ValueId one = graph.add_constant("one", Tensor::scalar<float>(1));
  for (int i = 0; i < nodes / 2; ++i) x = append(graph, "relu", {append(graph, "mul", {x, one})});
  return x;
}

// Residual blocks of two convolutions with batch norms, a reshape to a computed shape, and a factor.
ValueId blocks(Graph& graph, ValueId x, int nodes) {
  const auto vector = [&](const char* name) { return graph.add_constant(name, Tensor::of<float>({4}, {1, 2, 3, 4})); };
  for (int i = 0; i < nodes / 10; ++i) {
    ValueId y = x;
    for (int k = 0; k < 2; ++k) {
      const std::vector<float> weight(16, 0.01f * static_cast<float>((i + k) % 7 - 3));
      y = append(graph, "conv", {y, graph.add_constant("w", Tensor::of<float>({4, 4, 1, 1}, weight)), vector("b")});
      y = append(graph, "batch_norm", {y, vector("scale"), vector("bias"), vector("mean"), vector("variance")});
      y = append(graph, "relu", {y});
    }
    y = append(graph, "reshape", {y, append(graph, "shape", {y})});
    y = append(graph, "mul", {y, graph.add_constant("half", Tensor::of<float>({1}, {0.5f}))});
    x = append(graph, "add", {x, y});
  }
  return x;
}

void save(const Build& build, int nodes, const std::filesystem::path& path) {
  Graph graph;
  graph.info.opsets[""] = 17;
  const ValueId input = graph.add_input("x", {DType::kFloat32, Shape::of({1, 4, 3, 5})});
  graph.set_outputs({build(graph, input, nodes)});
  write_onnx(graph, path);
}

// The plan as a configuration of its own model: what it says comes back.
void read_back(const Graph& graph, const Plan& plan) {
  Plan own = plan_layers(graph);
  apply_settings(parse_plan(format_plan(plan), "plan"), "plan", graph, own);
  EXPECT_EQ(own.layers.size(), plan.layers.size());
  EXPECT_EQ(own.joint, plan.joint);
}

// Processor seconds from the model file to all output files; factors are invented instead of measured.
double seconds_for(const std::filesystem::path& model, const std::filesystem::path& folder) {
  const std::clock_t start = std::clock();
  Graph graph = load_model(model);
  prepare(graph);
  Plan plan = plan_layers(graph);
  for (const std::string& tensor : tensors_to_calibrate(graph, plan)) plan.tensors.push_back({tensor, {}});
  plan_joint(graph, plan);
  read_back(graph, plan);
  fill_weight_scales(graph, plan);
  EXPECT_LE(observed_tensors(graph, plan).size(), plan.layers.size() + plan.tensors.size());
  for (LayerPlan& layer : plan.layers) layer.activation.factor = ScaleOffset{0.1f, 3};
  for (TensorPlan& tensor : plan.tensors) tensor.activation.factor = ScaleOffset{0.1f, 3};
  const Graph corrected = with_corrected_biases(graph, plan);
  const Graph deploy = apply_ascend(corrected, plan);
  OutputFiles files;
  write_onnx(apply_qdq(corrected, plan, qdq_target("ort")), files, folder / "qdq.onnx");
  write_onnx(ascend_to_fake_quant(deploy), files, folder / "fake.onnx");
  write_onnx(deploy, files, folder / "deploy.onnx");
  files.add(folder / "record").write(format_records(records_of(plan)));
  files.add(folder / "quant").write(print_quant_json(deploy, plan, {}));
  files.add(folder / "plan").write(format_plan(plan));
  files.commit();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

struct Kind {
  const char* name;
  Build build;
  int few;  // nodes; so many that their graph is far beyond the processor's caches
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class LinearScalingSlow : public TemporaryFolder, public ::testing::WithParamInterface<Kind> {};

TEST_P(LinearScalingSlow, FourTimesTheNodesTakeAtMostSixTimesAsLong) {
  const auto model = [&](int nodes) { return path(std::to_string(nodes) + ".onnx"); };
  const int fewer = GetParam().few, more = 4 * fewer;
  for (const int nodes : {fewer, more}) save(GetParam().build, nodes, model(nodes));
  double few = std::numeric_limits<double>::infinity(), many = few;
  for (int run = 0; run < 2; ++run) {  // the least of several in turn: other work on the machine only adds
    few = std::min(few, seconds_for(model(fewer), folder_));
    many = std::min(many, seconds_for(model(more), folder_));
  }
  std::printf("%s: %.2f s and %.2f s\n", GetParam().name, few, many);
  EXPECT_LT(many, kLargestRatio * few);
}

INSTANTIATE_TEST_SUITE_P(Graphs, LinearScalingSlow,
                         ::testing::Values(Kind{"layers", layers, 50000}, Kind{"chain", chain, 100000},
                                           Kind{"fan_out", fan_out, 100000},
                                           Kind{"neutral_fan_out", neutral_fan_out, 100000},
                                           Kind{"blocks", blocks, 50000}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace amct::testing
