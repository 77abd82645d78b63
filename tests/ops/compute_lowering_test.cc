// The compiled steps of the compute rows against the plain kernels: every sample, both layouts, every epilogue alone
// and beside an addition, several threads at once.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "ops/lowering_harness.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

constexpr double kTolerance = 2e-5;
const std::vector<std::string> kRows = {"conv",         "conv_transpose",      "gemm",           "matmul", "max_pool",
                                        "average_pool", "global_average_pool", "global_max_pool"};

struct Layouts {
  Layout in, out;
};
const std::vector<Layouts> kLayouts = {{Layout::kPlain, Layout::kPlain},
                                       {Layout::kChannelsLast, Layout::kChannelsLast},
                                       {Layout::kPlain, Layout::kChannelsLast},
                                       {Layout::kChannelsLast, Layout::kPlain}};

bool has_image(const SampleNode& c) { return c.node().row->layout == LayoutRule::kPreferChannelsLast; }

std::vector<Epilogue> all_epilogues() {
  using K = Epilogue::Kind;
  const float infinity = std::numeric_limits<float>::infinity();
  return {{K::kClip, 0, infinity},
          {K::kClip, 0, 6},
          {K::kClip, -0.25f, 0.5f},
          {K::kLeakyRelu, 0.1f},
          {K::kElu, 0.75f},
          {K::kSigmoid},
          {K::kTanh},
          {K::kGeluErf},
          {K::kGeluTanh},
          {K::kSwish, 1.5f},
          {K::kHardSwish},
          {K::kHardSigmoid, 0.2f, 0.5f},
          {K::kSoftplus},
          {K::kAbs},
          {K::kExp},
          {K::kLinear, -1.5f, 0.25f},
          {K::kAdd}};
}

Tensor expected(const SampleNode& c, const std::vector<Epilogue>& epilogues, const Tensor& addend) {
  const Tensor plain = run_node(c.node(), c.inputs)[0];
  std::vector<double> values = plain.to_doubles();
  const std::vector<double> added = addend ? addend.to_doubles() : std::vector<double>(values.size());
  for (const Epilogue& epilogue : epilogues) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = apply(epilogue, values[i], added[i]);
  }
  return Tensor::of<double>(plain.dims(), values).cast(plain.dtype());
}

class ComputeLowering : public ::testing::TestWithParam<std::string> {};

TEST_P(ComputeLowering, EverySampleInEveryLayoutMatchesThePlainKernel) {
  const OpRow& row = op_table().get(GetParam());
  int compiled = 0;
  for (const Sample& sample : row.samples()) {
    const SampleNode c = make_case(row, sample, 7);
    const Tensor reference = expected(c, {}, {});
    for (const Layouts& layouts : kLayouts) {
      if (!has_image(c) && layouts.in != layouts.out) continue;
      for (const bool constants : {true, false}) {
        const Layout in = has_image(c) ? layouts.in : Layout::kPlain;
        const Layout out = has_image(c) ? layouts.out : Layout::kPlain;
        const auto step = lower_case(c, in, out, {}, constants);
        if (step == nullptr) continue;
        ++compiled;
        EXPECT_TRUE(close(run_step(c, *step, in, out), reference, kTolerance, kTolerance))
            << sample.name << " in " << static_cast<int>(in) << " out " << static_cast<int>(out) << " "
            << step->implementation() << " constants " << constants;
      }
    }
  }
  EXPECT_GE(compiled, static_cast<int>(row.samples().size()));
}

TEST_P(ComputeLowering, EpiloguesMatchAloneAndWithAnAddition) {
  const OpRow& row = op_table().get(GetParam());
  int compiled = 0;
  const std::vector<Sample> samples = row.samples();
  for (const Sample& sample : samples) {
    const SampleNode c = make_case(row, sample, 11);
    if (c.inputs[0].dtype() != DType::kFloat32 || sample.outputs > 1) continue;
    const Layout layout = has_image(c) ? Layout::kChannelsLast : Layout::kPlain;
    const Tensor addend = uniform(run_node(c.node(), c.inputs)[0].dims(), 5);
    // Every kind on the first sample, a few on the rest: creating primitives takes longer than running them.
    const std::vector<Epilogue> kinds = all_epilogues();
    for (size_t i = &sample == &samples.front() ? 0 : 12; i < kinds.size(); ++i) {
      const Epilogue& epilogue = kinds[i];
      const bool is_add = epilogue.kind == Epilogue::Kind::kAdd;
      std::vector<std::vector<Epilogue>> chains{{epilogue}};
      if (!is_add) chains.push_back({{Epilogue::Kind::kAdd}, epilogue});
      if (!is_add) chains.push_back({epilogue, {Epilogue::Kind::kAdd}});
      for (const auto& chain : chains) {
        const auto step = lower_case(c, layout, layout, chain);
        if (step == nullptr) continue;
        ++compiled;
        const std::vector<Tensor> addends = chain.size() > 1 || is_add ? std::vector{addend} : std::vector<Tensor>();
        EXPECT_TRUE(close(run_step(c, *step, layout, layout, addends), expected(c, chain, addend), 1e-4, 1e-4))
            << sample.name << " epilogue " << static_cast<int>(epilogue.kind) << " chain of " << chain.size() << " "
            << step->implementation();
      }
    }
  }
  EXPECT_GT(compiled, 40);
}

INSTANTIATE_TEST_SUITE_P(Rows, ComputeLowering, ::testing::ValuesIn(kRows),
                         [](const auto& info) { return info.param; });

TEST(ComputeLowering, AStepMadeHereRunsOnTwoOtherThreadsAtOnce) {
  const OpRow& row = op_table().get("conv");
  for (const Sample& sample : row.samples()) {
    const SampleNode c = make_case(row, sample, 3);
    const auto step = lower_case(c, Layout::kChannelsLast, Layout::kChannelsLast);
    ASSERT_NE(step, nullptr) << sample.name;
    const Tensor first = run_step(c, *step, Layout::kChannelsLast, Layout::kChannelsLast);
    std::vector<int> equal(2, 1);
    std::vector<std::thread> workers;
    for (int worker = 0; worker < 2; ++worker) {
      workers.emplace_back([&, worker] {
        for (int round = 0; round < 20; ++round) {
          const Tensor again = run_step(c, *step, Layout::kChannelsLast, Layout::kChannelsLast);
          if (!again.same_bytes(first)) equal[worker] = 0;
        }
      });
    }
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(equal, (std::vector<int>{1, 1})) << sample.name;
  }
}

TEST(ComputeLowering, EmptyBatchesAndOtherTypesHaveNoStep) {
  const OpRow& row = op_table().get("conv");
  const Sample empty{.name = "empty", .inputs = {random_input({0, 3, 5, 5}), random_weight({2, 3, 3, 3})}};
  const SampleNode c = make_case(row, empty, 1);
  EXPECT_EQ(lower_case(c, Layout::kPlain, Layout::kPlain), nullptr);
  EXPECT_EQ(run_node(c.node(), c.inputs)[0].dims(), (Dims{0, 2, 3, 3}));

  const Sample wide{.name = "double",
                    .inputs = {random_input({1, 3, 5, 5}, -1, 1, DType::kFloat64),
                               random_weight({2, 3, 3, 3}, -1, 1, DType::kFloat64)}};
  const SampleNode d = make_case(row, wide, 1);
  EXPECT_EQ(lower_case(d, Layout::kPlain, Layout::kPlain), nullptr);
  EXPECT_EQ(run_node(d.node(), d.inputs)[0].dtype(), DType::kFloat64);
}

}  // namespace
}  // namespace amct::testing
