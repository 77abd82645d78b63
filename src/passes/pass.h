// A pass: rewrites a graph and says what it did. One file per pass, one row in pass_table.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace amct {

// What a pass promises about the numbers that the graph computes; checked by execution in tests and under --check.
enum class Effect {
  kExact,     // bit-identical
  kRounding,  // equal up to float rounding (folded constants, reassociated sums)
  kLossy,     // changes results on purpose (quantization)
};

struct PassNote {
  std::string node;     // layer key
  std::string message;  // "folded batch norm bn_3", or why the pass left the node alone
  bool applied = true;
};

struct PassReport {
  int changes = 0;
  std::vector<PassNote> notes;
};

struct PassInfo {
  std::string name;     // fuse_bn_into_conv: the name of its file, of its test and on the command line
  std::string summary;  // one sentence
  Effect effect = Effect::kExact;
  PassReport (*run)(Graph&) = nullptr;
};

// All passes, in the order the default pipeline runs them (pass_table.cc).
const std::vector<PassInfo>& simplify_passes();
const std::vector<PassInfo>& fusion_passes();

struct PipelineOptions {
  bool check = false;  // verify the graph and compare numbers on random input after every pass
  std::vector<std::string> skip;
};

struct PipelineReport {
  size_t nodes_before = 0;
  size_t nodes_after = 0;
  std::vector<std::pair<std::string, PassReport>> passes;  // every run that changed something, in order
};

// Runs the passes to a fixed point (a pass list that goes on changing the graph is an internal error).
PipelineReport run_passes(Graph& graph, const std::vector<PassInfo>& passes, const PipelineOptions& options = {});

}  // namespace amct
