// The numbers of a graph before and after a pass: `--check` and all pass tests.
//
// Both graphs run node by node with the plain kernels on the same random inputs. What a pass promises (Effect) is what
// the outputs are compared by: bit for bit, or within 1e-4 of the range of the output. A difference is reported with
// the pass, the output, and the changed node nearest before the first value that went wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "passes/pass.h"

namespace amct {

// Tensors for all graph inputs: floats uniform in [-1, 1], integers and bools 0 or 1. A named dim gets one extent
// throughout: `open_extent` for the first axis and 2 more for each further name; unknown dims as if each had its own
// name.
std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed, int64_t open_extent = 2);

// Runs the graph node by node with the plain kernels and returns the values `wanted`. Those that depend on opaque nodes
// are absent (empty tensors).
std::vector<Tensor> run_plain(const Graph& graph, const std::vector<Tensor>& inputs,
                              const std::vector<ValueId>& wanted);

// Largest difference relative to the range of `expected` (its finite values and 0, and 1e-30 at least); infinity where
// type, extents, NaN or infinities differ.
double relative_difference(const Tensor& expected, const Tensor& actual);

class NumericCheck {
 public:
  NumericCheck(const Graph& graph, uint64_t seed);
  // Compares the graph as `pass` left it with what it computed before, and remembers it for the next pass. Throws
  // Error(kInternal) if the pass broke its promise.
  void after(const Graph& graph, const PassInfo& pass, const PassReport& report);
  // Why nothing can be compared (no shapes that the model runs on, opaque nodes before every output); "" if all is
  // well.
  const std::string& unavailable() const { return unavailable_; }

 private:
  std::vector<Tensor> inputs_;
  std::vector<Tensor> results_;  // of the observed values; empty if the model does not run
  Graph before_;
  std::string unavailable_;
};

}  // namespace amct
