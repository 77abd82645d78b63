// The file of a calibration's part, and what merging refuses; calibrations in shares against whole ones on networks of
// our own.
#include "workflow/calibration_part.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"
#include "data/temporary_folder.h"
#include "ir/random_tensor.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/weight_scales.h"
#include "recipe/plan_json.h"
#include "support/graphs.h"
#include "workflow/balance.h"
#include "workflow/calibrate.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

constexpr int64_t kSamples = 13;

// Convolutions with a bias, a depthwise one behind a ReLU, a matrix product on vectors: odd extents and channels.
Graph network(int64_t batch) {
  return graph_of(fmt::format(R"(%x: float32[{0}, 3, 11, 9] = input
%w: float32[5, 3, 3, 3] = constant random(1)
%b: float32[5] = constant random(2)
%c = conv(%x, %w, %b) {{pads=[1, 1, 1, 1]}}
%r = relu(%c)
%dw: float32[5, 1, 3, 3] = constant random(3)
%d = conv(%r, %dw, _) {{group=5, pads=[1, 1, 1, 1], strides=[2, 2]}}
%g = global_average_pool(%d)
%s: int64[2] = constant [0, -1]
%f = reshape(%g, %s)
%m: float32[5, 7] = constant random(4)
%y = matmul(%f, %m)
output %y
)",
                              batch > 0 ? std::to_string(batch) : "N"));
}

std::vector<Tensor> samples() {
  std::vector<Tensor> result;
  for (int64_t i = 0; i < kSamples; ++i) {
    Tensor sample = random_tensor(DType::kFloat32, {1, 3, 11, 9}, 40 + static_cast<uint64_t>(i));
    for (float& x : sample.mutable_values<float>()) x *= 0.5f + 0.2f * static_cast<float>(i);
    result.push_back(std::move(sample));
  }
  return result;
}

Plan plan_for(const Graph& graph, ClipSearch::Method method) {
  Plan plan = plan_layers(graph);
  for (LayerPlan& layer : plan.layers) layer.activation.search.method = method;
  plan.tensors.push_back({"y", ActivationPlan{}});
  return plan;
}

CalibrationPart observed(const Graph& graph, Plan plan, const Shard& shard, int workers, int64_t batch = 1) {
  const MemorySource source(samples());
  CalibrationPart part = empty_part(source, kSamples, shard);
  CalibrationTimes times;
  fill_weight_scales(graph, plan);
  observe(graph, plan, source, {.workers = workers, .batch = batch, .checkpoint = {}}, part, times);
  return part;
}

std::string chosen(const Graph& graph, Plan plan, const CalibrationPart& part) {
  CalibrationTimes times;
  fill_weight_scales(graph, plan);
  choose_factors(graph, plan, part, 2, times);
  return format_plan(plan);
}

class Shares : public TemporaryFolder, public ::testing::WithParamInterface<int64_t> {};

TEST_P(Shares, MergeToThePlanOfOneProcess) {
  const Graph graph = network(GetParam());
  const Plan plan = plan_for(graph, ClipSearch::Method::kIfmr);
  const std::string expected = chosen(graph, plan, observed(graph, plan, {}, 1));
  EXPECT_EQ(chosen(graph, plan, observed(graph, plan, {}, 3)), expected);
  for (const int count : {1, 2, 3, 20}) {
    std::vector<std::filesystem::path> paths;
    for (int number = count; number > 0; --number) {
      const CalibrationPart part = observed(graph, plan, {number, count}, 1 + number % 3);
      paths.push_back(path(fmt::format("{}of{}", number, count)));
      write_part(part, paths.back());
    }
    CalibrationIdentity mine;
    EXPECT_EQ(chosen(graph, plan, merge_parts(paths, mine)), expected) << count;
  }
}

// In the order of the batches, whoever runs them.
TEST_P(Shares, OrderedHistogramsDoNotDependOnWorkers) {
  const Graph graph = network(GetParam());
  const Plan plan = plan_for(graph, ClipSearch::Method::kHfmg);
  for (const int64_t batch : {1, 4, 13}) {
    const CalibrationPart one = observed(graph, plan, {}, 1, batch);
    const std::string expected = format_part(one);
    EXPECT_FALSE(one.tensors.at("x").ordered.empty());
    EXPECT_TRUE(one.tensors.at("y").ordered.empty());
    for (const int workers : {2, 3, 8}) {
      for (int repeat = 0; repeat < 5; ++repeat) {
        EXPECT_EQ(format_part(observed(graph, plan, {}, workers, batch)), expected) << workers;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Batches, Shares, ::testing::Values(0, 4));

// Against the definition: EqualBins fed with the values of every batch.
TEST(OrderedHistograms, AreThoseOfTheBatchesInOrder) {
  const Graph graph = network(0);
  const Plan plan = plan_for(graph, ClipSearch::Method::kHfmg);
  for (const int64_t batch : {1, 5}) {
    EqualBins expected;
    std::vector<float> values;
    const std::vector<Tensor> all = samples();
    for (size_t i = 0; i < all.size(); ++i) {
      values.insert(values.end(), all[i].values<float>().begin(), all[i].values<float>().end());
      if ((i + 1) % static_cast<size_t>(batch) != 0 && i + 1 < all.size()) continue;
      expected.add(values, 4096);
      values.clear();
    }
    const CalibrationPart part = observed(graph, plan, {}, 2, batch);
    const EqualBins* bins = part.tensors.at("x").ordered.find(4096);
    ASSERT_NE(bins, nullptr);
    EXPECT_EQ(bins->counts, expected.counts);
    EXPECT_EQ(bins->low, expected.low);
    EXPECT_EQ(bins->high, expected.high);
  }
}

TEST(CalibrationPart, ReadsWhatItWrote) {
  const Graph graph = network(0);
  const CalibrationPart part = observed(graph, plan_for(graph, ClipSearch::Method::kHfmg), {}, 2);
  const std::string bytes = format_part(part);
  const CalibrationPart again = parse_part(std::as_bytes(std::span(bytes)), "part");
  EXPECT_EQ(format_part(again), bytes);
  EXPECT_EQ(again.taken, (SampleRange{0, kSamples}));
  EXPECT_EQ(again.tensors.size(), 4u);
}

TEST(CalibrationPart, ReadsTheChoiceThatItWrote) {
  CalibrationPart part;
  part.stage = CalibrationPart::Stage::kPreliminary;
  part.choice = Choice{.strengths = {{"a", 0.2}, {"b/c", std::nullopt}, {"d", 0.8}},
                       .energies = {{"d", {1.5f, 0.0f, 3e-30f}}, {"e", {}}},
                       .nuq = NuqOutcome{.metric = "SQNR",
                                         .uniform = 31.5,
                                         .mixed = -2.25,
                                         .candidates = 3,
                                         .reverted = {"d", "a"},
                                         .evaluations = 7}};
  const auto again = [&] {
    const std::string bytes = format_part(part);
    return parse_part(std::as_bytes(std::span(bytes)), "part");
  };
  EXPECT_EQ(again().choice, part.choice);
  EXPECT_EQ(again().stage, part.stage);
  part.choice->nuq.reset();
  EXPECT_EQ(again().choice, part.choice);
  part.choice->energies["d"][1] = -1;
  EXPECT_THROW(again(), Error);
  part.choice->energies.clear();
  for (const double senseless : {-0.5, 1.5, std::nan("")}) {
    part.choice->strengths["a"] = senseless;
    EXPECT_THROW(again(), Error) << senseless;
  }
}

TEST(CalibrationPart, EveryCutAndEveryChangedByteIsRefused) {
  const Graph graph = network(0);
  const std::string bytes = format_part(observed(graph, plan_for(graph, ClipSearch::Method::kIfmr), {}, 2));
  const auto refused = [](const std::string& text) {
    try {
      parse_part(std::as_bytes(std::span(text)), "the file");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInput);
      EXPECT_NE(std::string(error.what()).find("the file"), std::string::npos);
      return true;
    }
    return false;
  };
  for (size_t i = 0; i < bytes.size(); i += 1 + i / 50) {
    EXPECT_TRUE(refused(bytes.substr(0, i))) << i;
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_TRUE(refused(changed)) << i;
  }
}

TEST(CalibrationPart, CountsThatNoCalibrationHasAreRefused) {
  const auto read = [](const CalibrationPart& part) {
    const std::string bytes = format_part(part);
    return parse_part(std::as_bytes(std::span(bytes)), "the file");
  };
  CalibrationPart part;
  part.shard = {Shard::kMost, Shard::kMost};
  part.identity.samples = part.identity.asked = kMostSamples;
  part.taken = part.shard.of(kMostSamples, 1);
  EXPECT_EQ(part.taken, (SampleRange{kMostSamples - (kMostSamples >> 20), kMostSamples}));
  EXPECT_EQ(read(part).taken, part.taken);
  part.shard.count = Shard::kMost + 1;
  EXPECT_THROW(read(part), Error);
  part.shard.count = std::numeric_limits<int>::max();
  EXPECT_THROW(read(part), Error);
  part.shard = {};
  part.identity.samples = kMostSamples + 1;
  EXPECT_THROW(read(part), Error);
}

TEST(Shard, SharesAreContiguousAndWhole) {
  for (const int64_t samples : {0, 1, 7, 64, 100}) {
    for (const int64_t rows : {1, 4}) {
      for (const int count : {1, 2, 3, 8, 200}) {
        int64_t next = 0;
        for (int number = 1; number <= count; ++number) {
          const SampleRange share = Shard{number, count}.of(samples, rows);
          EXPECT_EQ(share.begin, next);
          EXPECT_GE(share.size(), 0);
          EXPECT_LE(share.size(), (samples / rows / count + 1) * rows);
          EXPECT_TRUE(share.begin % rows == 0 || share.size() == 0);
          next = share.end;
        }
        EXPECT_EQ(next, samples);
      }
    }
  }
}

}  // namespace
}  // namespace amct::testing
