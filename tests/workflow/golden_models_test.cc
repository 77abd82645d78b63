// Our quantization of two real networks against the files that AMCT wrote for them, from the same images with the same
// settings: the same quantization, layer, dequantization for every layer in order, the same record, and the same
// factors. Two things differ by design, and the test asks for exactly these:
//   - AMCT quantizes behind its explicit Pad nodes, so that a convolution behind a Pad and its neighbour on the same
//     tensor have a quantization each, with the same factors; ours share one.
//   - AMCT lets the grid of a value behind Clip(0, 6) go beyond 6, ours ends there (range_limits.h).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "exec/histogram.h"
#include "frontends/onnx/load_onnx.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/clip_search.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/range_limits.h"
#include "recipe/record_file.h"
#include "support/golden_record.h"
#include "support/npz.h"
#include "workflow/calibrate.h"
#include "workflow/exact_loss.h"
#include "workflow/model.h"
#include "workflow/networks.h"
#include "workflow/sample_run.h"

namespace amct::testing {
namespace {

constexpr int64_t kImages = 32;
constexpr double kActivationTolerance = 0.005;  // of the golden numbers: IFMR on a streaming histogram
constexpr double kWeightTolerance = 1e-5;

std::filesystem::path golden(const std::string& model, const char* suffix) {
  return assets() / "golden/models" / (model + suffix);
}

std::unique_ptr<DataSource> calibration_images(const std::string& model, const Graph& graph) {
  if (model == "mobilenet_v1_025") {  // the first lines of labels.txt are the first files of the folder
    return open_data(assets() / "datasets/imagenet300", input_specs(graph),
                     {.preprocess = parse_preprocess("imagenet-tf")});
  }
  const Tensor all = read_npz(golden(model, "_io.npz")).at("calib_u8_nhwc");
  std::vector<Tensor> images;
  for (int64_t i = 0; i < kImages; ++i) {
    Tensor image = Tensor::allocate(DType::kFloat32, {1, 3, 32, 32});
    const auto to = image.mutable_values<float>();
    const auto from = all.values<uint8_t>().subspan(static_cast<size_t>(i) * to.size(), to.size());
    for (size_t k = 0; k < to.size(); ++k) to[k % 3 * 1024 + k / 3] = static_cast<float>(from[k]) / 255.0f;
    images.push_back(std::move(image));
  }
  return std::make_unique<MemorySource>(std::move(images));
}

// One quantized layer of a deploy graph with what stands around it.
struct DeployLayer {
  std::string name, op;
  NodeId quant, dequant;
  ValueId source;  // what is quantized, before any Pad
  const Tensor* weight = nullptr;
  const Tensor* bias = nullptr;
};

// By name; a layer that lacks a quantization before it or a dequantization behind it fails the test.
std::map<std::string, DeployLayer> deploy_layers(const Graph& graph) {
  std::map<std::string, DeployLayer> layers;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.op != "conv" && node.op != "gemm") continue;
    DeployLayer layer{.name = node.name, .op = node.op, .quant = graph.value(node.input(0)).producer};
    layer.weight = graph.constant(node.input(1));
    layer.bias = node.input(2).valid() ? graph.constant(node.input(2)) : nullptr;
    const Use* use = graph.sole_use(node.output());
    if (!layer.quant.valid() || graph.node(layer.quant).op != "ascend_quant" || use == nullptr ||
        graph.node(use->node).op != "ascend_dequant") {
      ADD_FAILURE() << node.name << " does not stand between a quantization and a dequantization";
      continue;
    }
    layer.dequant = use->node;
    layer.source = graph.node(layer.quant).input(0);
    const Node* pad = graph.producer(layer.source);
    if (pad != nullptr && pad->op == "pad") layer.source = pad->input(0);
    layers.emplace(node.name, layer);
  }
  return layers;
}

// Quantizations, layers and dequantizations by name, in the order of the graph.
std::vector<std::string> sequence(const Graph& graph) {
  std::vector<std::string> names;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op.starts_with("ascend_") || node.op == "conv" || node.op == "gemm") names.push_back(node.name);
  }
  return names;
}

// Every value of a tensor in the calibration run, layer by layer.
std::vector<float> observed_values(const Graph& graph, const Plan& plan, const DataSource& source, ValueId tensor) {
  const auto weights = std::make_shared<const Graph>(fake_quantized_weights(graph, plan));
  const auto program = compile_for_samples(weights, source, {.observe = {tensor}});
  std::vector<float> values;
  run_samples({program}, source, {.samples = kImages},
              [&](const SampleRun&, size_t, ValueId, const TensorView& view) {
                values.insert(values.end(), view.as<float>(), view.as<float>() + view.size());
              },
              {});
  return values;
}

double relative(double ours, double theirs) { return std::abs(ours / theirs - 1); }

class GoldenModels : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    AMCT_NEEDS_ASSETS();
    graph_ = load_model(assets() / "onnx" / (model() + ".onnx"));
    prepare(graph_);
    source_ = calibration_images(model(), graph_);
    plan_ = plan_layers(graph_);
    plan_.correct_bias = false;  // as AMCT leaves them
    calibrate(graph_, plan_, *source_, kImages, 2);
    record_ = read_golden_record(golden(model(), "_record.txt"));
    theirs_ = load_onnx(golden(model(), "_deploy_model.onnx"));
    ours_ = apply_ascend(graph_, plan_);
  }
  const std::string& model() const { return GetParam(); }

  // The factor of a value behind a Clip whose bound AMCT's grid passes; true if that is what makes the two differ.
  bool limited_by_clip(const LayerPlan& layer, const GoldenLayer& golden_layer) const {
    const ValueId tensor = graph_.find_value(layer.tensor);
    const RangeLimits limits = range_limits(graph_, tensor);
    const ScaleOffset ours = *layer.activation.factor;
    const std::vector<float> values = observed_values(graph_, plan_, *source_, tensor);
    Histogram histogram(Histogram::tail_capacity(layer.activation.search.max_percentile, values.size()));
    histogram.add(values);
    // What IFMR minimises; its lower clip is the minimum, which is zero behind a Clip(0, 6).
    const auto loss = [&](float scale, int offset) {
      return exact_loss(values, scale * (-128.0 - offset), scale * (127.0 - offset));
    };
    const ScaleOffset unlimited = choose_factor(histogram.finish(), layer.activation).factor;
    fmt::print(
        "{} {}: scale {:.7g} with the grid ending at {:.4g}, AMCT {:.7g} at {:.4g}, ours without limit {:.7g}; exact "
        "losses {:.4g} and {:.4g}\n",
        model(), layer.name, ours.scale, ours.scale * (127.0 - ours.offset), golden_layer.scale_d,
        golden_layer.scale_d * (127.0 - golden_layer.offset_d), unlimited.scale, loss(ours.scale, ours.offset),
        loss(golden_layer.scale_d, golden_layer.offset_d));
    return relative(unlimited.scale, golden_layer.scale_d) <= kActivationTolerance &&
           golden_layer.scale_d * (127.0 - golden_layer.offset_d) > limits.high &&
           relative(ours.scale * (127.0 - ours.offset), limits.high) < 1e-6;
  }

  Graph graph_, ours_, theirs_;
  std::unique_ptr<DataSource> source_;
  Plan plan_;
  std::vector<GoldenLayer> record_;
};

TEST_P(GoldenModels, SameRecordInTheSameOrder) {
  const std::vector<LayerRecord> ours = records_of(plan_);
  ASSERT_EQ(ours.size(), record_.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(ours[i].key, record_[i].key);
    EXPECT_EQ(ours[i].scale_w.size(), record_[i].scale_w.size()) << ours[i].key;
    for (size_t k = 0; k < std::min(ours[i].scale_w.size(), record_[i].scale_w.size()); ++k) {
      EXPECT_LE(relative(ours[i].scale_w[k], record_[i].scale_w[k]), kWeightTolerance) << ours[i].key << " " << k;
    }
  }
}

TEST_P(GoldenModels, SameActivationFactors) {
  ASSERT_EQ(plan_.layers.size(), record_.size());
  for (size_t i = 0; i < record_.size(); ++i) {
    const LayerPlan& layer = plan_.layers[i];
    ASSERT_TRUE(layer.activation.factor.has_value()) << layer.name;
    EXPECT_EQ(layer.activation.factor->offset, record_[i].offset_d) << layer.name;
    if (relative(layer.activation.factor->scale, record_[i].scale_d) <= kActivationTolerance) continue;
    EXPECT_TRUE(limited_by_clip(layer, record_[i])) << layer.name;
  }
}

TEST_P(GoldenModels, SameQuantLayerDequantForEveryLayer) {
  const auto ours = deploy_layers(ours_), theirs = deploy_layers(theirs_);
  ASSERT_EQ(ours.size(), record_.size());
  ASSERT_EQ(theirs.size(), record_.size());
  for (const LayerPlan& layer : plan_.layers) {
    SCOPED_TRACE(layer.name);
    const DeployLayer& a = ours.at(layer.name);
    const DeployLayer& b = theirs.at(layer.name);
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(ours_.node(a.dequant).name, theirs_.node(b.dequant).name);
    for (const LayerPlan& other : plan_.layers) {  // one quantization where AMCT quantizes one tensor
      EXPECT_EQ(a.quant == ours.at(other.name).quant, b.source == theirs.at(other.name).source) << other.name;
    }
    const Node &quant = ours_.node(a.quant), &golden_quant = theirs_.node(b.quant);
    EXPECT_TRUE(quant.name.ends_with(".quant"));
    EXPECT_EQ(attr_float(quant, "offset"), attr_float(golden_quant, "offset"));
    EXPECT_EQ(attr_string(quant, "dst_type"), attr_string(golden_quant, "dst_type"));
    EXPECT_FLOAT_EQ(static_cast<float>(attr_float(quant, "scale")), 1 / layer.activation.factor->scale);
  }
  // Without branches there is one order only.
  if (model() == "mobilenet_v1_025") {
    EXPECT_EQ(sequence(ours_), sequence(theirs_));
  }
}

TEST_P(GoldenModels, SameIntegerConstants) {
  const auto ours = deploy_layers(ours_), theirs = deploy_layers(theirs_);
  int64_t weights = 0, differing = 0;
  for (size_t i = 0; i < plan_.layers.size(); ++i) {
    SCOPED_TRACE(plan_.layers[i].name);
    const DeployLayer& a = ours.at(plan_.layers[i].name);
    const DeployLayer& b = theirs.at(plan_.layers[i].name);
    ASSERT_EQ(a.weight->dims(), b.weight->dims());
    const auto x = a.weight->values<int8_t>(), y = b.weight->values<int8_t>();
    for (size_t k = 0; k < x.size(); ++k) {
      ++weights;
      differing += x[k] != y[k];
      EXPECT_LE(std::abs(x[k] - y[k]), 1);
    }
    // Bias and dequantization follow the activation's scale, which may differ by what was allowed above.
    const double ratio = static_cast<double>(plan_.layers[i].activation.factor->scale) / record_[i].scale_d;
    ASSERT_TRUE(a.bias != nullptr && b.bias != nullptr);
    const auto p = a.bias->to_int64s(), q = b.bias->to_int64s();
    ASSERT_EQ(p.size(), q.size());
    for (size_t k = 0; k < p.size(); ++k) {
      EXPECT_LE(std::abs(static_cast<double>(p[k]) * ratio - static_cast<double>(q[k])),
                1.01 + kWeightTolerance * std::abs(static_cast<double>(q[k])));
    }
    const auto u = ours_.constant(ours_.node(a.dequant).input(1))->values<uint64_t>();
    const auto v = theirs_.constant(theirs_.node(b.dequant).input(1))->values<uint64_t>();
    ASSERT_EQ(u.size(), v.size());
    for (size_t k = 0; k < u.size(); ++k) {
      EXPECT_EQ(u[k] >> 32, v[k] >> 32);
      const auto scale = [](uint64_t word) { return std::bit_cast<float>(static_cast<uint32_t>(word)); };
      EXPECT_LE(relative(scale(u[k]) / ratio, scale(v[k])), kWeightTolerance);
    }
  }
  fmt::print("{}: {} of {} integer weights differ, by 1\n", model(), differing, weights);
  EXPECT_LE(static_cast<double>(differing), 1e-4 * static_cast<double>(weights));
}

INSTANTIATE_TEST_SUITE_P(Assets, GoldenModels, ::testing::Values("mobilenet_v1_025", "resnet8_cifar10"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace amct::testing
