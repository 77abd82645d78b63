// What the choice of strengths is measured with.
#include "workflow/balance_search.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ir/random_tensor.h"
#include "passes/quantize/plan_layers.h"
#include "support/graphs.h"
#include "workflow/calibrate.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

Graph network(const std::string& batch) {
  return graph_of(fmt::format(R"(%x: float32[{0}, 3, 9, 7] = input
%w: float32[5, 3, 3, 3] = constant random(1)
%c = conv(%x, %w, _)
%r = relu(%c)
%g = global_average_pool(%r)
%s: int64[2] = constant [0, -1]
%f = reshape(%g, %s)
%m: float32[5, 7] = constant random(4)
%y = matmul(%f, %m)
output %y
)",
                              batch));
}

TEST(LayerErrors, CountEverySampleOnceWhateverTheBatch) {
  std::vector<Tensor> samples;
  for (uint64_t i = 0; i < 6; ++i) samples.push_back(random_tensor(DType::kFloat32, {1, 3, 9, 7}, 20 + i));
  const MemorySource source(samples);
  const Graph open = network("N");
  Plan plan = plan_layers(open);
  calibrate(open, plan, source, 6, 1);
  const std::vector<LayerError> expected = layer_errors(open, plan, source, 6, 1);
  ASSERT_EQ(expected.size(), 2u);
  for (const char* batch : {"1", "4", "7"}) {
    const std::vector<LayerError> errors = layer_errors(network(batch), plan, source, 6, 2);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_GT(expected[i].error, 0);
      EXPECT_NEAR(errors[i].signal, expected[i].signal, 1e-4 * expected[i].signal) << batch;
      EXPECT_NEAR(errors[i].error, expected[i].error, 0.02 * expected[i].error) << batch;
    }
  }
}

}  // namespace
}  // namespace amct::testing
