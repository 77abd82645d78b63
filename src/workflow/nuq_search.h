// Non-uniform weights where they cost little (spec C.5, automatic mode): which layers keep all 256 integers is decided
// by what the whole quantized network loses.
//
// Layers are ranked by how much of their result's energy few distinct weights add as error; the harmed most goes back
// to uniform weights first. A binary search over the length of that list finds the shortest one with which the metric
// (top-1 with labels, else SQNR in dB) falls by no more than `loss` below that of uniform weights.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

struct NuqSearch {
  double loss = 0.5;            // points of top-1, or dB
  std::vector<int64_t> labels;  // of all samples of the source; empty: SQNR
  int64_t samples = 32;         // to calibrate each trial with
  int64_t compared = 32;        // for SQNR
  int workers = 1;
};

struct NuqOutcome {
  std::string metric;             // "top-1" or "SQNR"
  double uniform = 0, mixed = 0;  // before and after; equal if no layer is left
  size_t candidates = 0;
  std::vector<std::string> reverted;  // layers that stay uniform, harmed most first
  int evaluations = 0;
  bool operator==(const NuqOutcome&) const = default;
};

// The plan is calibrated with uniform weights; `steps` as plan.layers: what each layer is to have, 0 = uniform in any
// case. Sets `steps` and clusters of the layers that are left.
NuqOutcome choose_nuq_layers(const std::shared_ptr<const Graph>& graph, Plan& plan, std::span<const int> steps,
                             const DataSource& source, const NuqSearch& search);

}  // namespace amct
