// Calibration of real networks gives the same plan and the same record, byte for byte, for any number of workers and
// any order of the samples.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/qdq_targets.h"
#include "recipe/plan_json.h"
#include "recipe/record_file.h"
#include "workflow/calibrate.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

struct Files {
  std::string plan, record;
  bool operator==(const Files&) const = default;
};

class Determinism : public ::testing::TestWithParam<Network> {
 protected:
  void SetUp() override {
    AMCT_NEEDS_ASSETS();
    graph_ = load_model(path_of(GetParam()));
    prepare(graph_);
    // Eleven samples: more than workers, and no multiple of their number.
    const std::vector<Tensor> inputs = reference_inputs(GetParam(), graph_);
    for (size_t i = 0; i < 11; ++i) {
      const Tensor& input = inputs[i % inputs.size()];
      Tensor sample = Tensor::allocate(DType::kFloat32, input.dims());
      const float gain = 1 - 0.07f * static_cast<float>(i);
      std::transform(input.values<float>().begin(), input.values<float>().end(), sample.mutable_values<float>().begin(),
                     [&](float x) { return gain * x; });
      samples_.push_back(std::move(sample));
    }
  }

  Files calibrated(const std::vector<size_t>& order, int workers) const {
    Plan plan = plan_layers(graph_);
    for (const std::string& tensor : tensors_to_calibrate(graph_, plan, {qdq_target("ort")})) {
      plan.tensors.push_back({tensor, ActivationPlan{}});
    }
    std::vector<Tensor> samples;
    for (const size_t index : order) samples.push_back(samples_[index]);
    const auto count = static_cast<int64_t>(samples.size());
    calibrate(graph_, plan, MemorySource(std::move(samples)), count, workers);
    return {format_plan(plan), format_records(records_of(plan))};
  }

  std::vector<size_t> in_order() const {
    std::vector<size_t> order(samples_.size());
    std::iota(order.begin(), order.end(), 0);
    return order;
  }

  Graph graph_;
  std::vector<Tensor> samples_;
};

TEST_P(Determinism, AnyNumberOfWorkers) {
  const Files expected = calibrated(in_order(), 1);
  EXPECT_NE(expected.record.find("scale_d"), std::string::npos);
  for (const int workers : {2, 3, 8}) EXPECT_TRUE(calibrated(in_order(), workers) == expected) << workers << " workers";
}

TEST_P(Determinism, AnyOrderOfSamples) {
  const Files expected = calibrated(in_order(), 2);
  for (const uint32_t seed : {1u, 2u, 3u}) {
    std::vector<size_t> order = in_order();
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    EXPECT_TRUE(calibrated(order, 2) == expected) << "seed " << seed;
  }
}

TEST_P(Determinism, OtherSamplesGiveOtherFiles) {
  std::vector<size_t> order = in_order();
  order.erase(order.begin());  // the one with the largest values
  EXPECT_FALSE(calibrated(order, 2) == calibrated(in_order(), 2));
}

INSTANTIATE_TEST_SUITE_P(Assets, Determinism,
                         ::testing::Values(network("mobilenet_v1_025"), network("resnet8_cifar10"),
                                           network("ultraface_rfb320_simplified")),
                         test_name);

}  // namespace
}  // namespace amct::testing
