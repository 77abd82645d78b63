// From AMCT's simplified configuration to the explicit one: every quantizable layer with all of its settings (spec B.1,
// B.2; AMCT's `create_quant_config`).
//
// Priority: settings of the layer, of its operator, of all layers; each is taken whole. Only `asymmetric` is inherited
// where a narrower setting leaves it out and searches by the same method. What a layer cannot have is an error in
// settings made for it or its operator; from the common settings it is left out, with a downgrade that names it.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"
#include "recipe/amct_config/quant_config.h"

namespace amct {

struct ExpandedConfig {
  config::ExplicitConfig config;
  std::vector<std::string> downgrades;  // "conv1 has 8-bit weights instead of 6: it is no two-dimensional convolution"
  std::vector<std::string> notes;       // what was read and means nothing here, and why
};

// `plan` is the model's own (plan_layers). Throws ErrorList of Error(kConfig) with all faults: unknown layers and
// operators (with the closest known one), settings that a layer cannot have, everything skipped, a layer named like a
// field of the configuration; each with its place in `file`.
ExpandedConfig expand_config(const config::SimpleConfig& simple, const Graph& graph, const Plan& plan,
                             const std::string& file);

// Why the layer cannot have non-uniform weights, as a clause; empty if it can: convolutions of two axes without
// dilation, and Gemm (spec D.2).
std::string reason_against_steps(const Graph& graph, const LayerPlan& layer);

// Settings that the layer cannot have are replaced by what it can, one line each; empty if there are none.
std::vector<std::string> downgrade(const Graph& graph, const LayerPlan& layer, config::CalibrationSettings& settings);

}  // namespace amct
