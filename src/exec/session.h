// Session: runs a graph on tensors of any shape. Keeps a bounded cache of programs, one per set of input extents
// (program_cache.h), and runs a graph whose output shapes depend on data, or on input values that are others at every
// run, as a chain of segments (segments.h). A graph without compute steps whose extents are new at every run goes node
// by node.
#pragma once

#include <memory>
#include <vector>

#include "exec/program.h"

namespace amct {

class Session {
 public:
  explicit Session(std::shared_ptr<const Graph> graph, CompileOptions options = {});
  explicit Session(Graph graph, CompileOptions options = {});
  ~Session();

  // `inputs` in the order of graph.inputs(); their types and extents are checked against the declared ones, and
  // Error(kInput) names the input that does not fit. Returns the graph outputs, then the kept values.
  // With a profile, the run is added to it.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, const ObserveFn& observe = {}, Profile* profile = nullptr);

  // The compiled program for inputs of these extents and values (compiled if needed). Incomplete (Program::complete) if
  // shapes depend on data or an operator is opaque.
  std::shared_ptr<const Program> program(const std::vector<Tensor>& inputs);

  const Graph& graph() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace amct
