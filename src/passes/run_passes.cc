#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "base/suggestion.h"
#include "ir/verify.h"
#include "ops/infer.h"
#include "passes/check.h"
#include "passes/pass.h"

namespace amct {
namespace {

// Each round of the lists here shortens the graph; more rounds than this mean that two passes undo each other.
constexpr int kMaxRounds = 100;

std::vector<const PassInfo*> chosen(const std::vector<PassInfo>& passes, const std::vector<std::string>& skip) {
  std::vector<std::string> names;
  for (const std::vector<PassInfo>* list :
       {&simplify_passes(), &fusion_passes(), &execution_passes(), &integer_passes(), &passes}) {
    for (const PassInfo& pass : *list) names.push_back(pass.name);
  }
  for (const std::string& name : skip) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    throw Error(ErrorCode::kConfig, fmt::format("there is no pass '{}' to leave out", name), {},
                suggestion(name, names, "docs/passes.md lists the passes"));
  }
  std::vector<const PassInfo*> result;
  for (const PassInfo& pass : passes) {
    if (std::find(skip.begin(), skip.end(), pass.name) == skip.end()) result.push_back(&pass);
  }
  return result;
}

PassContext context_for(const Graph& graph, const PipelineOptions& options) {
  PassContext context;
  Faults faults;
  for (const std::string& layer : options.skip_layers) {
    if (!graph.find_node(layer).valid()) {
      std::vector<std::string> names;
      for (const NodeId id : graph.nodes()) names.push_back(graph.node(id).name);
      faults.add(Error(ErrorCode::kConfig, fmt::format("there is no layer '{}' to leave alone", layer),
                       {.model = graph.info.path}, suggestion(layer, names, "'amct inspect' lists the layers")));
    }
    context.skip_layers.insert(layer);
  }
  faults.throw_if_any();
  return context;
}

// Joins a further run: what was done adds up; what was left alone is what the last run says.
void join(PassReport& total, PassReport run) {
  total.changes += run.changes;
  std::erase_if(total.notes, [](const PassNote& note) { return !note.applied; });
  for (PassNote& note : run.notes) total.notes.push_back(std::move(note));
}

// Throws Error(kInternal) with the first fault of a graph that a pass left broken.
void verify_after(const Graph& graph, const PassInfo& pass) {
  const std::vector<std::string> faults = verify(graph);
  if (faults.empty()) return;
  throw Error(ErrorCode::kInternal,
              fmt::format("pass {} broke the graph: {}{}", pass.name, faults[0],
                          faults.size() > 1 ? fmt::format(" (and {} more faults)", faults.size() - 1) : ""),
              {.model = graph.info.path},
              fmt::format("report this, and leave the pass out with --skip-pass {}", pass.name));
}

}  // namespace

PipelineReport run_passes(Graph& graph, const std::vector<PassInfo>& passes, const PipelineOptions& options) {
  const std::vector<const PassInfo*> list = chosen(passes, options.skip);
  PassContext context = context_for(graph, options);
  context.passes = list;
  PipelineReport report;
  report.nodes_before = graph.node_count();
  std::vector<PassReport> totals(list.size());
  update_types(graph);
  std::optional<NumericCheck> check;
  if (options.check) check.emplace(graph, options.check_seed);
  bool changed = true;
  for (int round = 0; changed; ++round) {
    AMCT_CHECK(round < kMaxRounds, "the passes go on changing the graph");
    changed = false;
    for (size_t i = 0; i < list.size(); ++i) {
      PassReport run = list[i]->run(graph, context);
      if (run.changes > 0) {
        changed = true;
        if (check) verify_after(graph, *list[i]);
        update_types(graph);
        if (check) check->after(graph, *list[i], run);
      }
      join(totals[i], std::move(run));
    }
  }
  report.nodes_after = graph.node_count();
  if (check) report.unchecked = check->unavailable();
  for (size_t i = 0; i < list.size(); ++i) {
    if (totals[i].changes > 0 || !totals[i].notes.empty()) {
      report.passes.emplace_back(list[i]->name, std::move(totals[i]));
    }
  }
  return report;
}

}  // namespace amct
