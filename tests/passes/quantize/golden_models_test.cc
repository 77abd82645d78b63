// AMCT's own deploy and fake-quant models against ours: read, executed in integers, and made from the same factors.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "exec/session.h"
#include "frontends/onnx/load_onnx.h"
#include "ops/op_row.h"
#include "passes/pass.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/attach_quant_offset.h"
#include "passes/quantize/dmq.h"
#include "passes/quantize/plan_layers.h"
#include "support/assets.h"
#include "support/golden_record.h"
#include "support/npz.h"

namespace amct {
namespace {

std::filesystem::path golden() { return testing::assets() / "golden/models"; }

std::vector<float> run(Graph graph, const Tensor& input, CompileOptions options = {}) {
  attach_quant_offset(graph);
  Session session(std::move(graph), options);
  const Tensor output = session.run({input})[0];
  return {output.values<float>().begin(), output.values<float>().end()};
}

std::vector<float> floats(const Tensor& tensor) {
  return {tensor.values<float>().begin(), tensor.values<float>().end()};
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return largest;
}

class Tiny7 : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path file(const char* suffix) const {
    return golden() / (std::string("tiny7_") + GetParam() + suffix);
  }
};

TEST_P(Tiny7, DeployModelRunsInIntegersToTheRecordedOutputs) {
  AMCT_NEEDS_ASSETS();
  const auto io = testing::read_npz(file("_io.npz"));
  for (const std::string n : {"0", "1"}) {
    const auto expected = floats(io.at("fake_quant" + n));
    const Graph deploy = load_onnx(file("_deploy.onnx"));
    // The recorded outputs are float sums, exact below 2^24: 16-bit activations go beyond.
    const double tolerance = std::string(GetParam()) == "int16all" ? 1e-5 : 0;
    EXPECT_LE(largest_difference(run(deploy, io.at("x" + n)), expected), tolerance);
    EXPECT_LE(largest_difference(run(deploy, io.at("x" + n), {.compiled_kernels = false}), expected), tolerance);
    EXPECT_LE(largest_difference(run(ascend_to_fake_quant(deploy), io.at("x" + n)), expected), 1e-5);
  }
}

// Every operator in order with what follows its layer's name, and its attributes.
std::vector<std::string> structure(const Graph& graph) {
  std::vector<std::string> lines;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    std::string line = node.op;
    if (node.op.starts_with("ascend")) line += node.name.substr(node.name.rfind('.'));
    for (const ValueId input : node.inputs) {
      if (!input.valid() || !graph.value(input).is_constant()) continue;
      const Value& value = graph.value(input);
      const std::string& name = value.origin.op.empty() ? value.name : value.origin.name;
      const size_t dequant = name.rfind(".dequant.param");
      const size_t module = name.rfind(".sub_module.");
      const std::string suffix = dequant != std::string::npos  ? name.substr(dequant)
                                 : module != std::string::npos ? name.substr(module)
                                                               : "?";
      line += fmt::format(" {}:{}{}", suffix, name_of(value.data.dtype()), to_string(value.data.dims()));
    }
    lines.push_back(line);
  }
  return lines;
}

TEST_P(Tiny7, OurDeployModelHasAmctsStructureAndNumbers) {
  AMCT_NEEDS_ASSETS();
  Graph source = load_onnx(golden() / "tiny7_float.onnx");
  QuantizeOptions options;
  if (std::string(GetParam()) == "dmq") options.skip = {"/ap/AveragePool"};  // as its configuration has it
  Plan plan = plan_layers(source, options);
  testing::fill_plan(plan, testing::read_golden_record(file("_record.txt")));
  apply_balance(source, plan);
  const Graph ours = apply_ascend(source, plan);
  const Graph theirs = load_onnx(file("_deploy.onnx"));
  EXPECT_EQ(structure(ours), structure(theirs));
  const auto our_order = ours.topological_order();
  const auto their_order = theirs.topological_order();
  ASSERT_EQ(our_order.size(), their_order.size());
  for (size_t i = 0; i < our_order.size(); ++i) {
    const Node& a = ours.node(our_order[i]);
    const Node& b = theirs.node(their_order[i]);
    SCOPED_TRACE(a.name);
    if (a.op == "ascend_quant") {
      EXPECT_EQ(static_cast<float>(attr_float(a, "scale")), static_cast<float>(attr_float(b, "scale")));
      EXPECT_EQ(attr_float(a, "offset"), attr_float(b, "offset"));
      EXPECT_EQ(attr_string(a, "dst_type"), attr_string(b, "dst_type"));
    }
    for (size_t port = 1; port < a.inputs.size(); ++port) {
      const Tensor* x = ours.constant(a.inputs[port]);
      const Tensor* y = theirs.constant(b.inputs[port]);
      ASSERT_TRUE(x != nullptr && y != nullptr);
      if (x->dtype() == DType::kInt32) {
        // The float model's batch norm was folded by another program: large biases may differ in their last bits.
        const auto ours_values = x->to_int64s(), their_values = y->to_int64s();
        for (size_t k = 0; k < ours_values.size(); ++k) {
          EXPECT_LE(std::abs(ours_values[k] - their_values[k]), 1e-6 * std::abs(their_values[k]));
        }
      } else {
        EXPECT_TRUE(x->same_bytes(*y)) << "input " << port;
      }
    }
  }
  EXPECT_EQ(ours.value(ours.outputs()[0]).name, "output");
  EXPECT_TRUE(ours.find_value(plan.layers.front().name + ".quant.output0").valid());
  EXPECT_EQ(ours.info.opsets.at(""), 11);
  const auto io = testing::read_npz(file("_io.npz"));
  const auto expected = floats(io.at("fake_quant0"));
  const double tolerance = std::string(GetParam()) == "int16all" ? 1e-5 : 0;
  EXPECT_LE(largest_difference(run(ours, io.at("x0")), expected), tolerance);
  EXPECT_LE(largest_difference(run(ascend_to_fake_quant(ours), io.at("x0")), expected), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Settings, Tiny7,
                         ::testing::Values("default", "sym_hfmg", "fp16deq", "int16all", "w6", "w4all", "dmq"),
                         [](const auto& info) { return std::string(info.param); });

TEST(FakeQuantNames, FollowTheLayers) {
  AMCT_NEEDS_ASSETS();
  const Graph fake = ascend_to_fake_quant(load_onnx(golden() / "tiny7_default_deploy.onnx"));
  for (const char* part : {"mul", "round", "add", "clip", "sub"}) {
    EXPECT_TRUE(fake.find_node(std::string("c1.quant.fakequant.") + part).valid()) << part;
  }
  for (const char* part : {"scale", "offset", "min_val", "max_val"}) {
    EXPECT_TRUE(fake.find_value(std::string("c1.quant.fakequant.") + part).valid()) << part;
  }
  EXPECT_TRUE(fake.find_node("c1.fakedequant.mul").valid());
  const ValueId scale = fake.find_value("c1.fakedequant.dqscale");
  ASSERT_TRUE(scale.valid());
  EXPECT_EQ(fake.value(scale).data.dims(), (Dims{1, 8, 1, 1}));
}

// One image of uint8 pixels (sample, height, width, channel) as the network's input.
Tensor image(const Tensor& pixels, int64_t index, float divisor, float shift) {
  const int64_t h = pixels.dims()[1], w = pixels.dims()[2];
  Tensor x = Tensor::allocate(DType::kFloat32, {1, 3, h, w});
  const auto to = x.mutable_values<float>();
  const auto from = pixels.values<uint8_t>().subspan(index * h * w * 3);
  for (int64_t i = 0; i < h * w; ++i) {
    for (int64_t c = 0; c < 3; ++c) to[c * h * w + i] = from[i * 3 + c] / divisor + shift;
  }
  return x;
}

void check_images(const char* model, const char* pixels, float divisor, float shift) {
  const auto io = testing::read_npz(golden() / (std::string(model) + "_io.npz"));
  const Graph deploy = load_onnx(golden() / (std::string(model) + "_deploy_model.onnx"));
  const auto expected = floats(io.at("fake_quant_out"));
  const size_t classes = expected.size() / 4;
  for (int64_t i = 0; i < 4; ++i) {
    const std::vector<float> part(expected.begin() + i * classes, expected.begin() + (i + 1) * classes);
    const auto ours = run(deploy, image(io.at(pixels), i, divisor, shift));
    // The record was taken with ONNX Runtime's optimizer on, which folds scales into convolutions and so rounds
    // otherwise; golden_onnxruntime_test.py compares with it off, to 1e-6.
    EXPECT_LE(largest_difference(ours, part), 0.02) << i;
    EXPECT_EQ(std::max_element(ours.begin(), ours.end()) - ours.begin(),
              std::max_element(part.begin(), part.end()) - part.begin());
  }
}

TEST(GoldenImages, MobileNetV1) {
  AMCT_NEEDS_ASSETS();
  check_images("mobilenet_v1_025", "x4", 127.5f, -1);
}

TEST(GoldenImages, ResNet8) {
  AMCT_NEEDS_ASSETS();
  check_images("resnet8_cifar10", "calib_u8_nhwc", 255, 0);
}

}  // namespace
}  // namespace amct
