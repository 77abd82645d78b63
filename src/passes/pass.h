// A pass: rewrites a graph and says what it did. One file per pass, one row in pass_table.cc; how to add one is in
// docs/howto/add-a-pass.md.
//
// Passes are functions without state. The runner (run_passes) repeats a list until none of its passes changes anything,
// so that a pass need not look for what others make possible; it only must not undo what they do. What it leaves alone
// it notes with the reason, for people who wonder why a layer is as it is.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace amct {

// What a pass promises about the numbers that the graph computes; checked by execution in tests and under --check.
enum class Effect {
  kExact,     // bit-identical
  kRounding,  // equal up to float rounding (folded constants, reassociated sums)
  kLossy,     // changes results on purpose (quantization)
};

std::string_view name_of(Effect effect);  // "exact", "rounding", "lossy"

struct PassNote {
  std::string node;     // layer key
  std::string message;  // "folded batch norm bn_3", or why the pass left the node alone
  bool applied = true;
  std::string folded;  // layer key of the node that is part of `node` from now on; "" if none is
};

struct PassReport {
  int changes = 0;
  std::vector<PassNote> notes;

  void applied(std::string_view node, std::string message, std::string folded = {}) {
    ++changes;
    notes.push_back({std::string(node), std::move(message), true, std::move(folded)});
  }
  void left_alone(std::string_view node, std::string reason) {
    notes.push_back({std::string(node), std::move(reason), false, {}});
  }
};

struct PassInfo;

// What a pass may need besides the graph.
struct PassContext {
  std::unordered_set<std::string> skip_layers;  // layer keys of compute layers that nothing may be fused into
  std::vector<const PassInfo*> passes;          // the list that runs, for the graphs within nodes
};

struct PassInfo {
  std::string name;     // fuse_bn_into_conv: the name of its file, of its test and on the command line
  std::string summary;  // one sentence
  std::string place;    // why it stands where it stands in the order of its list
  Effect effect = Effect::kExact;
  PassReport (*run)(Graph&, const PassContext&) = nullptr;
};

// All passes, in the order the default pipeline runs them (pass_table.cc). They rely on up-to-date value types.
const std::vector<PassInfo>& simplify_passes();
const std::vector<PassInfo>& fusion_passes();
// For graphs that are run and not written: small arithmetic becomes one operator that files of older opsets do not
// know. The last node of a pattern becomes that operator, in place; ids and names of all values stay, and so do the
// other nodes, which nobody needs any more and a program leaves out.
const std::vector<PassInfo>& execution_passes();
// What a graph with Q/DQ goes through before it is run in integers; never before it is exported.
const std::vector<PassInfo>& integer_passes();

struct PipelineOptions {
  bool check = false;  // verify the graph and compare numbers on random input after every pass
  uint64_t check_seed = 1;
  std::vector<std::string> skip;         // names of passes to leave out; an unknown one is an Error(kConfig)
  std::vector<std::string> skip_layers;  // layer keys that fusion leaves alone; an unknown one is an Error(kConfig)
};

struct PipelineReport {
  size_t nodes_before = 0;
  size_t nodes_after = 0;
  // Every pass that changed something or says why it did not, in order; runs of one pass are joined: all that it did,
  // and what its last run left alone.
  std::vector<std::pair<std::string, PassReport>> passes;
  std::string unchecked;  // with `check`: why numbers could not be compared; "" if they were
};

// Runs the passes in order, again and again until none changes anything, and updates the types of all values. A pass
// list that goes on changing the graph is an internal error; so is, under `check`, a pass that breaks the graph or its
// promise about the numbers (the message names pass and node).
PipelineReport run_passes(Graph& graph, const std::vector<PassInfo>& passes, const PipelineOptions& options = {});

}  // namespace amct
