// Session: runs a graph on tensors of any shape. Keeps a bounded cache of programs, one per set of input extents, and
// falls back to running node by node where output shapes depend on data.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "exec/program.h"

namespace amct {

class Session {
 public:
  explicit Session(std::shared_ptr<const Graph> graph, CompileOptions options = {});
  explicit Session(Graph graph, CompileOptions options = {});
  ~Session();

  // `inputs` in the order of graph.inputs(); checks type and extents against the declared ones and throws Error(kInput)
  // that names the input. Returns the graph outputs followed by the kept values.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, const ObserveFn& observe = {});

  // The compiled program for these inputs (compiling it if needed): for its steps and memory.
  std::shared_ptr<const Program> program(const std::vector<Tensor>& inputs);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace amct
