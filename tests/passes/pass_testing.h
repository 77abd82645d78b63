// What pass tests share: run one pass on a copy of a graph under full checks, and look at what it did.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ops/infer.h"
#include "passes/check.h"
#include "passes/pass.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {

using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;

inline const PassInfo& pass_named(const std::string& name) {
  for (const auto* list : {&simplify_passes(), &fusion_passes(), &execution_passes(), &integer_passes()}) {
    for (const PassInfo& pass : *list) {
      if (pass.name == name) return pass;
    }
  }
  internal_error("no such pass: " + name);
}

struct Ran {
  Graph graph;
  PipelineReport report;
  int changes = 0;

  // True if the pass left `node` alone with a reason that contains `words`.
  bool left_alone(std::string_view node, std::string_view words) const {
    for (const auto& [name, pass] : report.passes) {
      for (const PassNote& note : pass.notes) {
        if (!note.applied && note.node == node && note.message.find(words) != std::string::npos) return true;
      }
    }
    return false;
  }
};

// Runs one pass to its fixed point with the numeric check, twice checks that names of outputs stayed, and that a
// further run finds nothing to do.
inline Ran run_pass(const Graph& graph, const std::string& name, std::vector<std::string> skip_layers = {}) {
  SCOPED_TRACE("pass " + name);
  Ran ran{graph, {}, 0};
  const std::vector<PassInfo> list = {pass_named(name)};
  ran.report = run_passes(ran.graph, list, {.check = true, .check_seed = 7, .skip_layers = skip_layers});
  EXPECT_EQ(ran.report.unchecked, "");
  for (const auto& [pass, report] : ran.report.passes) ran.changes += report.changes;
  EXPECT_EQ(ran.graph.inputs().size(), graph.inputs().size());
  EXPECT_EQ(ran.graph.outputs().size(), graph.outputs().size());
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    EXPECT_EQ(ran.graph.value(ran.graph.outputs()[i]).name, graph.value(graph.outputs()[i]).name);
  }
  Graph again = ran.graph;
  for (const auto& [pass, report] : run_passes(again, list, {.skip_layers = skip_layers}).passes) {
    EXPECT_EQ(report.changes, 0) << "a second run of " << pass << " still changes the graph";
  }
  return ran;
}

}  // namespace amct::testing
