// Real models: simplified and fused, each pass checked on random input, they give the outputs of the original within
// 1e-4 of their range, also in the compiled executor; and nothing that should have been folded is left.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <ostream>

#include "exec/session.h"
#include "frontends/onnx/load_onnx.h"
#include "passes/pass_testing.h"
#include "support/assets.h"

namespace amct::testing {
namespace {

struct ModelCase {
  std::string file;
  size_t nodes_after;                  // of simplify and fusion together
  std::map<std::string, size_t> left;  // operators whose number is pinned
  bool unchecked = false;              // it does not run with the extents that random inputs have
};

void PrintTo(const ModelCase& c, std::ostream* out) { *out << c.file; }

class Models : public ::testing::TestWithParam<ModelCase> {};

std::map<std::string, size_t> count_ops(const Graph& graph) {
  std::map<std::string, size_t> counts;
  for (const std::string& name : op_names(graph)) ++counts[name];
  return counts;
}

std::vector<Tensor> run_compiled(const Graph& graph, const std::vector<Tensor>& inputs) {
  Session session{Graph(graph)};
  return session.run(inputs);
}

TEST_P(Models, ComputeTheSame) {
  AMCT_NEEDS_ASSETS();
  const Graph original = load_onnx(assets() / "onnx" / GetParam().file);
  Graph graph = original;
  const PipelineReport simplified = run_passes(graph, simplify_passes(), {.check = true, .check_seed = 3});
  EXPECT_EQ(simplified.unchecked.empty(), !GetParam().unchecked) << simplified.unchecked;
  const PipelineReport fused = run_passes(graph, fusion_passes(), {.check = true, .check_seed = 4});
  EXPECT_EQ(fused.unchecked.empty(), !GetParam().unchecked) << fused.unchecked;
  EXPECT_EQ(graph.node_count(), GetParam().nodes_after) << ::testing::PrintToString(count_ops(graph));
  std::map<std::string, size_t> counts = count_ops(graph);
  for (const auto& [name, count] : GetParam().left) EXPECT_EQ(counts[name], count) << name;

  ASSERT_EQ(graph.inputs().size(), original.inputs().size());
  if (GetParam().unchecked) return;
  const std::vector<Tensor> inputs = random_inputs(original, 5);
  const std::vector<Tensor> before = run_compiled(original, inputs);
  const std::vector<Tensor> after = run_compiled(graph, inputs);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(graph.value(graph.outputs()[i]).name, original.value(original.outputs()[i]).name);
    EXPECT_LE(relative_difference(before[i], after[i]), 1e-4) << graph.value(graph.outputs()[i]).name;
  }
}

INSTANTIATE_TEST_SUITE_P(Assets, Models,
                         ::testing::Values(ModelCase{"dtln_1.onnx", 24, {}}, ModelCase{"mnist_cntk.onnx", 8, {}},
                                           ModelCase{"mobilenet_v1_025.onnx", 58, {{"batch_norm", 0}}},
                                           ModelCase{"mobilenet_v2.onnx", 100, {}},
                                           ModelCase{"nanodet_m.onnx", 225, {}},
                                           ModelCase{"resnet8_cifar10.onnx", 23, {{"batch_norm", 0}}},
                                           ModelCase{"silero_vad_16k_op15.onnx", 45, {}, true},
                                           ModelCase{"silero_vad_openvino_16k.onnx", 33, {}},
                                           ModelCase{"ultraface_rfb320_simplified.onnx", 110, {}},
                                           ModelCase{"ultraface_rfb640.onnx", 125, {{"batch_norm", 0}, {"shape", 0}}},
                                           ModelCase{"vnn_cifar10_resnet_4b.onnx", 28, {}},
                                           ModelCase{"vnn_eran_mnist_relu_9_200.onnx", 19, {}},
                                           ModelCase{"vnn_marabou_cifar10_large.onnx", 12, {}},
                                           ModelCase{"vnn_mnistfc_256x4.onnx", 10, {}},
                                           ModelCase{"vnn_oval21_cifar_base_kw.onnx", 8, {}}),
                         [](const auto& info) { return info.param.file.substr(0, info.param.file.find('.')); });

}  // namespace
}  // namespace amct::testing
