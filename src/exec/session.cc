#include "exec/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <list>
#include <string>

#include "exec/interpret.h"
#include "exec/profile.h"
#include "exec/program_cache.h"
#include "exec/runner_cache.h"
#include "exec/segments.h"
#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

constexpr int kPatience = 4;            // new extents in a row that are compiled for without question
constexpr size_t kRememberedKeys = 32;  // of extents that were not

}  // namespace

struct Session::Impl {
  Impl(std::shared_ptr<const Graph> of, CompileOptions compile_options)
      : graph(std::move(of)),
        options(std::move(compile_options)),
        wanted(graph->outputs()),
        programs(graph, options, {}, graph->inputs().size()) {
    wanted.insert(wanted.end(), options.keep.begin(), options.keep.end());
    for (const NodeId id : graph->nodes()) {
      const Node& node = graph->node(id);
      if (!node.is_opaque() && (node.row->lower != nullptr || has_subgraphs(node))) is_light = false;
    }
  }

  std::shared_ptr<const Graph> graph;
  CompileOptions options;
  std::vector<ValueId> wanted;  // outputs and kept values
  ProgramCache programs;
  RunnerCache runners;
  std::unique_ptr<Segments> segments;  // set once a program ended before a shape that depends on data
  int new_in_a_row = 0;                // runs since the cache had a program
  std::list<std::string> passed_over;  // keys of recent runs that were not compiled
  bool is_light = true;                // no node has a compiled step: running node by node costs little more

  void check(const std::vector<Tensor>& inputs) const;
  std::shared_ptr<const Program> worthwhile_program(const std::vector<Tensor>& inputs);
  bool was_passed_over(std::string key);
};

Session::Session(std::shared_ptr<const Graph> graph, CompileOptions options) {
  for (const ValueId id : graph->inputs()) {
    if (graph->value(id).type.dtype != DType::kUndefined) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("input '{}' is no tensor; sequences, maps and optionals are not computed with",
                            graph->value(id).name),
                {.model = graph->info.path});
  }
  impl_ = std::make_unique<Impl>(std::move(graph), std::move(options));
}

Session::Session(Graph graph, CompileOptions options)
    : Session(std::make_shared<const Graph>(std::move(graph)), std::move(options)) {}

Session::~Session() = default;

const Graph& Session::graph() const { return *impl_->graph; }

void Session::Impl::check(const std::vector<Tensor>& inputs) const {
  if (inputs.size() != graph->inputs().size()) {
    throw Error(ErrorCode::kInput,
                fmt::format("the model has {} inputs, not {}", graph->inputs().size(), inputs.size()),
                {.model = graph->info.path});
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& declared = graph->value(graph->inputs()[i]);
    const Shape& shape = declared.type.shape;
    bool fits = declared.type.dtype == inputs[i].dtype();
    if (shape.ranked()) {
      fits = fits && shape.rank() == inputs[i].rank();
      for (size_t axis = 0; fits && axis < shape.rank(); ++axis) {
        fits = !shape[axis].is_fixed() || shape[axis].extent() == inputs[i].dims()[axis];
      }
    }
    if (!fits) {
      throw Error(ErrorCode::kInput,
                  fmt::format("input '{}' wants {} {}, not {} {}", declared.name, name_of(declared.type.dtype),
                              shape.to_string(), name_of(inputs[i].dtype()), to_string(inputs[i].dims())),
                  {.model = graph->info.path});
    }
  }
}

// Null where extents are new at every run and a program would be used once: a light graph then runs node by node. The
// answer follows from the sequence of extents alone.
std::shared_ptr<const Program> Session::Impl::worthwhile_program(const std::vector<Tensor>& inputs) {
  if (is_light) {
    if (auto cached = programs.cached(inputs)) {
      new_in_a_row = 0;
      return cached;
    }
    if (++new_in_a_row > kPatience && !was_passed_over(programs.key_of(inputs))) return nullptr;
  }
  return programs.find(inputs);
}

bool Session::Impl::was_passed_over(std::string key) {
  const auto at = std::find(passed_over.begin(), passed_over.end(), key);
  if (at != passed_over.end()) {
    passed_over.erase(at);
    return true;
  }
  passed_over.push_front(std::move(key));
  if (passed_over.size() > kRememberedKeys) passed_over.pop_back();
  return false;
}

std::shared_ptr<const Program> Session::program(const std::vector<Tensor>& inputs) {
  impl_->check(inputs);
  return impl_->programs.find(inputs);
}

std::vector<Tensor> Session::run(const std::vector<Tensor>& inputs, const ObserveFn& observe, Profile* profile) {
  Impl& p = *impl_;
  p.check(inputs);
  const Profile::Run profiled(profile);
  if (p.segments != nullptr) return p.segments->run(inputs, observe, profile);
  const std::shared_ptr<const Program> program = p.worthwhile_program(inputs);
  if (program == nullptr) return interpret(*p.graph, inputs, p.wanted, p.options.observe, observe, profile);
  if (program->complete()) return p.runners.run(program, inputs, p.wanted, observe, profile);
  p.segments = std::make_unique<Segments>(p.graph, *program, p.options);
  p.programs.clear();
  p.runners.clear();
  return p.segments->run(inputs, observe, profile);
}

}  // namespace amct
