// Conv and BatchNorm fused by AMCT itself (assets/golden): our weights and biases match within 1e-5 relative.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "passes/pass_testing.h"
#include "support/assets.h"
#include "support/npz.h"

namespace amct::testing {
namespace {

void expect_close(const Tensor& expected, const Tensor& actual, const std::string& what) {
  const std::vector<double> a = expected.to_doubles();
  const std::vector<double> b = actual.to_doubles();
  ASSERT_EQ(expected.dims(), actual.dims()) << what;
  double scale = 0;
  for (const double value : a) scale = std::max(scale, std::abs(value));
  for (size_t i = 0; i < a.size(); ++i) {
    // Sums that cancel are relative to their largest neighbour.
    ASSERT_LE(std::abs(a[i] - b[i]), 1e-5 * std::max(std::abs(a[i]), 1e-2 * scale)) << what << " element " << i;
  }
}

// A convolution, its output extents 1, with a batch norm behind it.
Graph golden_graph(const std::map<std::string, Tensor>& arrays, const std::string& name, double epsilon) {
  const auto array = [&](const char* what) { return arrays.at("conv_bn." + name + "." + what); };
  const Tensor weight = array("w");
  const int64_t groups = name == "group" ? 2 : 1;
  Dims input = weight.dims();
  input[0] = 1;
  input[1] *= groups;
  Graph graph;
  std::vector<ValueId> inputs{float_input(graph, input), graph.add_constant("w", weight)};
  if (arrays.contains("conv_bn." + name + ".b")) inputs.push_back(graph.add_constant("b", array("b")));
  const ValueId y = op(graph, "layer", "conv", inputs, {{"group", groups}});
  std::vector<ValueId> parameters{y};
  for (const char* what : {"gamma", "beta", "mean", "var"}) parameters.push_back(graph.add_constant(what, array(what)));
  graph.set_outputs({op(graph, "bn", "batch_norm", parameters, {{"epsilon", epsilon}})});
  return graph;
}

TEST(FuseGolden, ConvAndBatchNormMatchAmct) {
  AMCT_NEEDS_ASSETS();
  int cases = 0;
  for (const char* file : {"misc_a.npz", "misc_b.npz"}) {
    const auto arrays = read_npz(assets() / "golden" / file);
    for (const std::string name : {"conv2d", "nobias", "group", "conv1d", "conv3d", "var0"}) {
      SCOPED_TRACE(std::string(file) + " " + name);
      Graph graph = golden_graph(arrays, name, name == "nobias" ? 1e-3 : 1e-5);
      run_passes(graph, {pass_named("fuse_bn_into_conv")}, {.check = true});
      ASSERT_EQ(graph.node_count(), 1u);
      const Node& layer = graph.node(graph.find_node("layer"));
      expect_close(arrays.at("conv_bn." + name + ".w_fused"), *graph.constant(layer.input(1)), "weight");
      expect_close(arrays.at("conv_bn." + name + ".b_fused"), *graph.constant(layer.input(2)), "bias");
      ++cases;
    }
  }
  EXPECT_EQ(cases, 12);
}

}  // namespace
}  // namespace amct::testing
