// What the compiled programs of real networks run: no layer that multiplies or pools falls back to a reference kernel,
// on any instruction set. The instruction set is that of the environment (DNNL_MAX_CPU_ISA): the build runs this file
// once for each. What runs the rows' own kernels ("generic") is printed with its share of all values written.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "exec/session.h"
#include "support/implementations.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

const std::set<std::string> kProducts = {"gemm", "matmul"};
const std::set<std::string> kWindows = {"conv",     "conv_transpose",      "average_pool",
                                        "max_pool", "global_average_pool", "global_max_pool"};

// Steps that may go through a matrix product where a generated convolution is expected.
struct Exception {
  std::string network, node, isa, implementation, reason;
};
#include "workflow/pinned/implementation_exceptions.inc"

bool is_excepted(const std::string& network, const Program::StepInfo& step) {
  for (const Exception& exception : kExceptions) {
    if (exception.network == network && exception.node == step.nodes[0] && exception.isa == isa() &&
        exception.implementation == step.implementation) {
      return true;
    }
  }
  return false;
}

class Implementations : public ::testing::TestWithParam<Network> {};

TEST_P(Implementations, NoReferenceKernels) {
  AMCT_NEEDS_ASSETS();
  Graph graph = load_model(path_of(GetParam()));
  prepare(graph);
  const std::vector<Tensor> inputs = reference_inputs(GetParam(), graph);
  Session session{std::move(graph)};
  const auto program = session.program({inputs[0]});
  ASSERT_TRUE(program->complete());

  int layers = 0;
  int64_t written = 0;
  std::map<std::string, std::pair<int, int64_t>> generic;  // operator -> steps, values written
  for (const Program::StepInfo& step : program->steps()) {
    written += element_count(step.dims);
    if (step.implementation == "generic") {
      ++generic[step.op].first;
      generic[step.op].second += element_count(step.dims);
    }
    if (!kProducts.contains(step.op) && !kWindows.contains(step.op)) continue;
    ++layers;
    const bool by_product = kWindows.contains(step.op) && is_by_product(step.implementation);
    EXPECT_TRUE((is_generated(step.implementation) && !by_product) || is_excepted(GetParam().name(), step))
        << step.op << " " << step.nodes[0] << " on " << isa() << " gets " << step.implementation;
  }
  EXPECT_GT(layers, 0);
  for (const auto& [op, count] : generic) {
    fmt::print("{} on {}: {} {} by the row's own kernel, {:.1f} % of all values written\n", GetParam().name(), isa(),
               count.first, op, 100.0 * static_cast<double>(count.second) / static_cast<double>(written));
  }
}

INSTANTIATE_TEST_SUITE_P(Assets, Implementations, ::testing::ValuesIn(networks()), test_name);

}  // namespace
}  // namespace amct::testing
