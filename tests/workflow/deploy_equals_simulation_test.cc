// The deploy model, executed in integers, against its simulation in floating point, on real networks and real input:
// every quantized tensor and every layer's result, in quanta. Sums of integers are exact in float32 below 2^24, so
// that a network whose accumulators stay there must agree in every bit; beyond, one quantum on one element in 10,000.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "exec/session.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/attach_quant_offset.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/plan_layers.h"
#include "workflow/calibrate.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

constexpr double kExactInFloat = 1 << 24;

// Where accumulators do not stay below it.
struct Allowance {
  double largest = 1;   // quanta
  double share = 1e-4;  // of the values
};

// A tensor of the deploy graph, the one of the simulation that stands for it, and what turns the first into the second.
struct Pair {
  ValueId deploy, fake;
  double offset = 0;           // of the integers
  std::vector<float> quantum;  // by channel of a layer's result; empty = integers
};

struct Counts {
  int64_t elements = 0, deviating = 0;
  double largest = 0;  // in quanta

  void add(double quanta) {
    ++elements;
    if (quanta == 0) return;
    ++deviating;
    largest = std::isfinite(quanta) ? std::max(largest, quanta) : INFINITY;
  }
};

struct Networks {
  std::shared_ptr<const Graph> deploy, fake;
  std::vector<Pair> quantized, results;
  std::vector<ValueId> accumulators;  // in deploy
};

ValueId find(const Graph& graph, const std::string& name) {
  const ValueId id = graph.find_value(name);
  EXPECT_TRUE(id.valid()) << name;
  return id;
}

// A graph output keeps the user's name, so that the values are found by their nodes.
ValueId result_of(const Graph& graph, const std::string& node) {
  const NodeId id = graph.find_node(node);
  EXPECT_TRUE(id.valid()) << node;
  return graph.node(id).output();
}

Networks quantized_networks(const Network& network, const QuantizeOptions& options, std::vector<Tensor>& inputs,
                            bool shift) {
  Graph graph = load_model(path_of(network));
  prepare(graph);
  inputs = reference_inputs(network, graph);
  Plan plan = plan_layers(graph, options);
  plan.search_shifts = shift;
  calibrate(graph, plan, MemorySource(inputs), static_cast<int64_t>(inputs.size()), 2);
  Graph deploy = apply_ascend(with_corrected_biases(graph, plan), plan);
  Graph fake = ascend_to_fake_quant(deploy);
  attach_quant_offset(deploy);

  Networks result;
  for (const NodeId id : deploy.topological_order()) {
    const Node& node = deploy.node(id);
    if (node.op == "ascend_quant") {
      result.quantized.push_back(
          {node.output(), find(fake, node.name + ".fakequant.sub.output0"), attr_float(node, "offset"), {}});
    } else if (node.op == "ascend_dequant") {
      const std::string layer = node.name.substr(0, node.name.size() - std::string(".dequant").size());
      Pair pair{node.output(), result_of(fake, layer + ".fakedequant.mul"), 0, {}};
      for (const uint64_t word : deploy.constant(node.input(1))->values<uint64_t>()) {
        pair.quantum.push_back(std::bit_cast<float>(static_cast<uint32_t>(word)));
      }
      result.results.push_back(std::move(pair));
      result.accumulators.push_back(node.input(0));
    }
  }
  result.deploy = std::make_shared<const Graph>(std::move(deploy));
  result.fake = std::make_shared<const Graph>(std::move(fake));
  return result;
}

void compare(const Pair& pair, const Tensor& deploy, const Tensor& fake, Counts& counts) {
  ASSERT_EQ(deploy.dims(), fake.dims());
  const auto simulated = fake.values<float>();
  if (pair.quantum.empty()) {
    const std::vector<int64_t> integers = deploy.to_int64s();
    for (size_t i = 0; i < integers.size(); ++i) {
      counts.add(std::abs(static_cast<double>(integers[i]) - pair.offset - simulated[i]));
    }
    return;
  }
  const auto exact = deploy.values<float>();
  size_t inner = 1;
  for (size_t axis = 2; axis < deploy.rank(); ++axis) inner *= static_cast<size_t>(deploy.dims()[axis]);
  for (size_t i = 0; i < exact.size(); ++i) {
    const size_t channel = pair.quantum.size() == 1 ? 0 : i / inner % pair.quantum.size();
    counts.add(std::abs(static_cast<double>(exact[i]) - simulated[i]) / pair.quantum[channel]);
  }
}

std::vector<ValueId> ids_of(const std::vector<Pair>& pairs, ValueId Pair::*member) {
  std::vector<ValueId> ids;
  for (const Pair& pair : pairs) ids.push_back(pair.*member);
  return ids;
}

// The inputs and one that leaves the calibrated range: the same values, half as large again, in reverse.
std::vector<Tensor> with_saturation(std::vector<Tensor> inputs) {
  const auto values = inputs[0].values<float>();
  std::vector<float> large(values.rbegin(), values.rend());
  for (float& value : large) value *= 1.5f;
  inputs.push_back(Tensor::of<float>(inputs[0].dims(), large));
  return inputs;
}

class DeployEqualsSimulation : public ::testing::TestWithParam<Network> {
 protected:
  void quantize(const QuantizeOptions& options, bool shift = false) {
    std::vector<Tensor> inputs;
    networks_ = quantized_networks(GetParam(), options, inputs, shift);
    inputs_ = with_saturation(std::move(inputs));
    ASSERT_FALSE(networks_.results.empty());
  }

  // Runs both with these pairs kept, and counts where they differ. What is kept is not absorbed into the step before.
  std::vector<Counts> run(const std::vector<Pair>& pairs) {
    CompileOptions exact{.keep = ids_of(pairs, &Pair::deploy)};
    exact.keep.insert(exact.keep.end(), networks_.accumulators.begin(), networks_.accumulators.end());
    Session deploy{networks_.deploy, exact};
    Session fake{networks_.fake, {.keep = ids_of(pairs, &Pair::fake)}};
    const size_t first = networks_.deploy->outputs().size();
    std::vector<Counts> counts(pairs.size());
    for (const Tensor& input : inputs_) {
      const std::vector<Tensor> integers = deploy.run({input});
      const std::vector<Tensor> simulated = fake.run({input});
      for (size_t i = 0; i < pairs.size(); ++i) compare(pairs[i], integers[first + i], simulated[first + i], counts[i]);
      for (size_t i = first + pairs.size(); i < integers.size(); ++i) {
        for (const int64_t sum : integers[i].to_int64s()) {
          accumulator_ = std::max(accumulator_, std::abs(static_cast<double>(sum)));
        }
      }
    }
    return counts;
  }

  void check(const std::vector<Pair>& pairs, const std::string& what, const Allowance& allowed = {}) {
    const std::vector<Counts> counts = run(pairs);
    Counts total;
    for (size_t i = 0; i < pairs.size(); ++i) {
      total.elements += counts[i].elements;
      total.deviating += counts[i].deviating;
      total.largest = std::max(total.largest, counts[i].largest);
      EXPECT_LE(counts[i].largest, allowed.largest) << networks_.deploy->value(pairs[i].deploy).name;
      EXPECT_LE(static_cast<double>(counts[i].deviating), allowed.share * static_cast<double>(counts[i].elements))
          << networks_.deploy->value(pairs[i].deploy).name;
    }
    fmt::print("{}: {} {}, {} values, {} deviate, by at most {:.3g} quanta; largest accumulator 2^{:.1f}\n",
               GetParam().name(), pairs.size(), what, total.elements, total.deviating, total.largest,
               std::log2(accumulator_));
    if (accumulator_ < kExactInFloat) {
      EXPECT_EQ(total.deviating, 0);
    }
  }

  Networks networks_;
  std::vector<Tensor> inputs_;
  double accumulator_ = 0;
};

TEST_P(DeployEqualsSimulation, InEveryQuantizedTensor) {
  AMCT_NEEDS_ASSETS();
  quantize({});
  check(networks_.quantized, "quantized tensors");
}

TEST_P(DeployEqualsSimulation, InEveryLayersResult) {
  AMCT_NEEDS_ASSETS();
  quantize({});
  check(networks_.results, "layers");
}

TEST_P(DeployEqualsSimulation, WithSumsCutTo16Bits) {
  AMCT_NEEDS_ASSETS();
  if (GetParam().name() == "ultraface_rfb640") return;  // the same layers as ultraface_rfb320, four times as long
  quantize({}, true);
  check(networks_.quantized, "quantized tensors");
}

TEST_P(DeployEqualsSimulation, WithIntegerKernelsForEveryLayer) {
  AMCT_NEEDS_ASSETS();
  quantize({});
  Session deploy{networks_.deploy};
  size_t layers = 0;
  for (const Program::StepInfo& step : deploy.program({inputs_[0]})->steps()) {
    if (step.op != "conv" && step.op != "gemm" && step.op != "matmul") continue;
    ++layers;
    EXPECT_TRUE(step.implementation.starts_with("simd"))
        << step.implementation << " " << step.op << " " << step.nodes[0];
  }
  EXPECT_EQ(layers, networks_.results.size());
}

// What a layer's kernel takes in (dequantization, addition, ReLU, quantization) gives the same bits as one step each.
TEST_P(DeployEqualsSimulation, WithEpiloguesAndWithoutThem) {
  AMCT_NEEDS_ASSETS();
  for (const int bits : {8, 16}) {
    if (bits == 16 && GetParam().name() == "ultraface_rfb640") continue;  // does not fit, see below
    quantize({.activation_bits = bits});
    Session fused{networks_.deploy}, apart{networks_.deploy, {.absorb = false}};
    const size_t few = fused.program({inputs_[0]})->steps().size(), many = apart.program({inputs_[0]})->steps().size();
    if (bits == 16 && GetParam().name() == "vnn_mnistfc_256x4") {
      EXPECT_EQ(few, many);  // nothing but matrix products, which take in something with 8 bits only
    } else {
      EXPECT_LT(few, many);
    }
    for (const Tensor& input : inputs_) {
      const std::vector<Tensor> a = fused.run({input}), b = apart.run({input});
      for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].same_bytes(b[i])) << "output " << i;
    }
  }
}

// Sums of 16-bit activations leave the floats' exact range by far, and each layer hands its deviations on: the two stay
// together to a thousandth of the range.
TEST_P(DeployEqualsSimulation, CloselyWith16BitActivations) {
  AMCT_NEEDS_ASSETS();
  if (GetParam().name() == "ultraface_rfb640") {  // a batch norm leaves channel 43 with weights of 1e-7 and a bias
    try {
      quantize({.activation_bits = 16});
      FAIL() << "the bias of layer 315 does not fit 32 bits";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("node '315'"), std::string::npos) << error.what();
    }
    return;
  }
  quantize({.activation_bits = 16});
  check(networks_.quantized, "tensors of 16 bits", {.largest = 65.536, .share = 1});
}

INSTANTIATE_TEST_SUITE_P(Assets, DeployEqualsSimulation, ::testing::ValuesIn(networks()), test_name);

}  // namespace
}  // namespace amct::testing
