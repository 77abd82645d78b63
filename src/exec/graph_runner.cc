#include "exec/graph_runner.h"

#include <mutex>
#include <unordered_map>

#include "exec/interpret.h"
#include "exec/program_cache.h"
#include "exec/runner_cache.h"
#include "ops/subgraph.h"

namespace amct {

class SubgraphPrograms {
 public:
  explicit SubgraphPrograms(const CompileOptions& options) : options_(options) {
    options_.keep.clear();
    options_.observe.clear();
  }

  // Inputs that come from the captures of the node are the last of each subgraph.
  void add_node(const Node& node, const std::vector<Tensor>& constants) {
    const size_t captures = capture_count(node);
    for (const Subgraph& inner : subgraphs(node)) {
      const size_t inputs = inner.graph->inputs().size();
      std::unordered_map<size_t, Tensor> bound;
      for (size_t i = 0; i < captures; ++i) {
        const Tensor& constant = constants[constants.size() - captures + i];
        if (constant) bound[inputs - captures + i] = constant;
      }
      caches_[inner.graph.get()] = std::make_shared<ProgramCache>(inner.graph, options_, std::move(bound), captures);
    }
  }

  std::shared_ptr<ProgramCache> of(const std::shared_ptr<const Graph>& graph) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<ProgramCache>& cache = caches_[graph.get()];
    if (cache == nullptr) {
      cache =
          std::make_shared<ProgramCache>(graph, options_, std::unordered_map<size_t, Tensor>(), graph->inputs().size());
    }
    return cache;
  }

 private:
  CompileOptions options_;
  std::unordered_map<const Graph*, std::shared_ptr<ProgramCache>> caches_;  // keep the graphs alive
  std::mutex mutex_;
};

namespace {

// One worker's runners of one subgraph.
struct Body {
  std::shared_ptr<ProgramCache> programs;
  RunnerCache runners;
};

class CompiledGraphs : public GraphRunner {
 public:
  explicit CompiledGraphs(std::shared_ptr<SubgraphPrograms> programs) : programs_(std::move(programs)) {}

  std::vector<Tensor> run(const std::shared_ptr<const Graph>& graph, const std::vector<Tensor>& inputs) override {
    Body& body = bodies_[graph.get()];
    if (body.programs == nullptr) body.programs = programs_->of(graph);
    const std::shared_ptr<const Program> program = body.programs->find(inputs);
    if (!program->complete()) return interpret(*graph, inputs, graph->outputs(), {}, {}, nullptr, this);
    return body.runners.run(program, inputs, graph->outputs());
  }

 private:
  std::shared_ptr<SubgraphPrograms> programs_;
  std::unordered_map<const Graph*, Body> bodies_;
};

}  // namespace

std::shared_ptr<SubgraphPrograms> make_subgraph_programs(const Node& node, const std::vector<Tensor>& constants,
                                                         const CompileOptions& options) {
  auto programs = std::make_shared<SubgraphPrograms>(options);
  programs->add_node(node, constants);
  return programs;
}

std::shared_ptr<SubgraphPrograms> make_subgraph_programs(const CompileOptions& options) {
  return std::make_shared<SubgraphPrograms>(options);
}

std::shared_ptr<GraphRunner> make_graph_runner(std::shared_ptr<SubgraphPrograms> programs) {
  return std::make_shared<CompiledGraphs>(std::move(programs));
}

}  // namespace amct
