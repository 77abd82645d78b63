// Real networks against the outputs that OpenCV recorded for them: as the file has them, simplified and fused, compiled
// and with plain kernels, within 1e-4 of the output's range.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "exec/session.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

constexpr double kTolerance = 1e-4;  // of the range of one sample's output

struct Expected {
  std::vector<float> values;  // of all samples
  size_t samples = 1;

  // max |ours - expected| / (max - min) of one sample.
  double relative_difference(size_t sample, const Tensor& ours) const {
    const size_t size = values.size() / samples;
    if (static_cast<size_t>(ours.size()) != size) return INFINITY;
    const float* expected = values.data() + sample * size;
    const auto [low, high] = std::minmax_element(expected, expected + size);
    double largest = 0;
    for (size_t i = 0; i < size; ++i) {
      const double value = ours.values<float>()[i];
      if (!std::isfinite(value)) return INFINITY;
      largest = std::max(largest, std::abs(value - expected[i]));
    }
    return largest / (static_cast<double>(*high) - *low);
  }
};

// By output of the graph.
std::vector<Expected> expected_outputs(const Network& network, const Graph& graph) {
  const nlohmann::json meta = reference_meta(network);
  std::vector<Expected> result;
  for (const ValueId id : graph.outputs()) {
    const auto& output = meta.at("outputs").at(graph.value(id).name);
    result.push_back({read_floats(reference_folder(network) / output.at("file").get<std::string>()),
                      meta.at("input_shape")[0].get<size_t>()});
  }
  return result;
}

class ReferenceIo : public ::testing::TestWithParam<Network> {
 protected:
  void check(const Graph& graph, const CompileOptions& options, size_t samples) {
    const std::vector<Tensor> inputs = reference_inputs(GetParam(), graph);
    const std::vector<Expected> expected = expected_outputs(GetParam(), graph);
    ASSERT_FALSE(expected.empty());
    Session session{Graph(graph), options};
    for (size_t sample = 0; sample < std::min(samples, inputs.size()); ++sample) {
      const std::vector<Tensor> outputs = session.run({inputs[sample]});
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LE(expected[i].relative_difference(sample, outputs[i]), kTolerance)
            << "sample " << sample << ", output " << graph.value(graph.outputs()[i]).name;
      }
    }
  }
};

TEST_P(ReferenceIo, AsTheFileHasIt) {
  AMCT_NEEDS_ASSETS();
  check(load_model(path_of(GetParam())), {}, 4);
}

TEST_P(ReferenceIo, SimplifiedAndFused) {
  AMCT_NEEDS_ASSETS();
  Graph graph = load_model(path_of(GetParam()));
  prepare(graph);
  check(graph, {}, 4);
}

TEST_P(ReferenceIo, PlainKernels) {
  AMCT_NEEDS_ASSETS();
  check(load_model(path_of(GetParam())), {.compiled_kernels = false}, 1);
}

std::vector<Network> with_recorded_outputs() {
  std::vector<Network> result;
  for (const Network& item : networks()) {
    if (item.same_size) result.push_back(item);
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Assets, ReferenceIo, ::testing::ValuesIn(with_recorded_outputs()), test_name);

}  // namespace
}  // namespace amct::testing
