// A small program for the Python tests: makes quantized models from factors
// that it finds by the range of the data.
//
//   quant_tool qdq MODEL INPUT.npy TARGET OUT      a QDQ file
//   quant_tool fake MODEL INPUT.npy OUT            the fake-quant file of the
//   same factors quant_tool golden MODEL RECORD DEPLOY FAKE     the deploy and
//   fake-quant files of a golden record's factors quant_tool run MODEL
//   INPUT.npy OUT.npy         executes a model, deploy models in integers
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/npy.h"
#include "exec/session.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/load_onnx.h"
#include "ops/op_row.h"
#include "passes/pass.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/arq.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/attach_quant_offset.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "support/golden_record.h"

namespace {

using namespace amct;
using Args = std::vector<std::string>;

Graph prepared(const std::string& path) {
  Graph graph = load_onnx(path);
  run_passes(graph, simplify_passes());
  run_passes(graph, fusion_passes());
  return graph;
}

// Scale and offset of a range that includes zero, for signed 8-bit integers.
ScaleOffset factor_of(float low, float high) {
  low = std::min(low, 0.0f);
  high = std::max(high, 0.0f);
  if (low == high) return {1, -128};
  const float scale = (high - low) / 255;
  return {scale, static_cast<int32_t>(-128 - std::nearbyint(low / scale))};
}

std::vector<float> weight_scales(const Graph& graph, const LayerPlan& layer) {
  const Node& node = graph.node(graph.find_node(layer.name));
  const auto& rule = node.row->quant.compute_rule();
  return arq_scales(*graph.constant(node.input(rule.weight_port)), rule.channel_axis_for(graph, node),
                    layer.weight->per_channel, layer.weight->bits, layer.name);
}

Plan calibrated(const Graph& graph, const std::string& data, const QdqTarget& target) {
  Plan plan = plan_layers(graph);
  for (const std::string& tensor : tensors_to_calibrate(graph, plan, {target})) plan.tensors.push_back({tensor, {}});
  const Tensor input = read_npy(data);
  CompileOptions options;
  std::map<std::string, size_t> kept;  // position among the results
  const auto keep = [&](const std::string& tensor) {
    const ValueId id = graph.find_value(tensor);
    if (graph.value(id).kind != ValueKind::kComputed || kept.contains(tensor)) return;
    kept.emplace(tensor, graph.outputs().size() + options.keep.size());
    options.keep.push_back(id);
  };
  for (const LayerPlan& layer : plan.layers) keep(layer.tensor);
  for (const TensorPlan& tensor : plan.tensors) keep(tensor.tensor);
  Session session(graph, options);
  const auto results = session.run({input});
  const auto range_of = [&](const std::string& tensor) {
    const auto at = kept.find(tensor);
    const auto values = (at == kept.end() ? input : results.at(at->second)).values<float>();
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return factor_of(*low, *high);
  };
  for (LayerPlan& layer : plan.layers) {
    layer.activation.factor = range_of(layer.tensor);
    if (layer.quantize && layer.weight) layer.weight->scales = weight_scales(graph, layer);
  }
  for (TensorPlan& tensor : plan.tensors) tensor.activation.factor = range_of(tensor.tensor);
  return plan;
}

int command(const Args& args) {
  if (args.size() == 5 && args[0] == "qdq") {
    const Graph graph = prepared(args[1]);
    const QdqTarget& target = qdq_target(args[3]);
    write_onnx(apply_qdq(graph, calibrated(graph, args[2], target), target), args[4]);
  } else if (args.size() == 4 && args[0] == "fake") {
    const Graph graph = prepared(args[1]);
    write_onnx(ascend_to_fake_quant(apply_ascend(graph, calibrated(graph, args[2], qdq_target("ort")))), args[3]);
  } else if (args.size() == 5 && args[0] == "golden") {
    const Graph graph = prepared(args[1]);
    Plan plan = plan_layers(graph);
    amct::testing::fill_plan(plan, amct::testing::read_golden_record(args[2]));
    const Graph deploy = apply_ascend(graph, plan);
    write_onnx(deploy, args[3]);
    write_onnx(ascend_to_fake_quant(deploy), args[4]);
  } else if (args.size() == 4 && args[0] == "run") {
    Graph graph = load_onnx(args[1]);
    attach_quant_offset(graph);
    write_npy(args[3], Session(std::move(graph)).run({read_npy(args[2])})[0].view());
  } else {
    std::fprintf(stderr, "usage: quant_tool qdq|fake|golden|run …\n");
    return 64;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return command(Args(argv + 1, argv + argc));
  } catch (const amct::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return amct::exit_code(error.code());
  }
}
