// What the two forms of Scan share: a subgraph that runs over the slices of its inputs.
//
//   inputs   v_1 … v_n, x_1 … x_m, captures          body   (v_1 … v_n, slices of x_1 … x_m, captures)
//   outputs  v_1 … v_n, s_1 … s_k                       -> (v_1 … v_n, slices of s_1 … s_k)
//
// A v, a state, goes from slice to slice; each x is cut along an axis; the slices of an s are put together.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "ops/control_flow.h"

namespace amct {

struct ScanPorts {
  size_t states = 0;
  size_t scanned = 0;
  size_t captures = 0;
  size_t collected = 0;
};

// `lead`: inputs before the states. Throws Error(kInput) if node and body do not fit each other.
ScanPorts scan_ports(const Node& node, const Graph& body, size_t lead);

// Entry `index` of a list attribute with `count` entries, or 0 if it is not set.
int64_t entry(const Node& node, std::string_view name, size_t index, size_t count);
bool backwards(const Node& node, std::string_view name, size_t index, size_t count);

// Slice `index` along `axis`, which goes (borrowed where it is in one piece); and its way back.
Tensor take(const TensorView& from, size_t axis, int64_t index);
void put(const MutableView& to, size_t axis, int64_t index, const Tensor& slice);

// How many slices the scanned inputs, which begin at port `first`, have; they must agree.
Dim common_length(InferContext& c, const ScanPorts& ports, size_t first, const std::vector<size_t>& axes);
int64_t common_length(const RunContext& c, const ScanPorts& ports, size_t first, const std::vector<size_t>& axes);

Shape without_axis(const Shape& shape, size_t axis);

// One scan over `length` slices.
struct Scanned {
  std::vector<Tensor> states;                  // final
  std::vector<std::vector<Tensor>> collected;  // by output, then by turn
};
Scanned turn_over(const RunContext& c, const std::shared_ptr<const Graph>& body, const ScanPorts& ports,
                  std::vector<Tensor> states, int64_t length, const std::function<Tensor(size_t, int64_t)>& slice);

void import_scan(ImportContext& c);

// sum <- sum + x + w; collects sum * x.
Attrs scan_sample_attrs();

}  // namespace amct
