// The programs of one subgraph, by the extents of its inputs; workers share them.
//
// Where shapes follow from the values of captures, these values become part of the key. The cache is bounded.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "exec/program.h"

namespace amct {

class ProgramCache {
 public:
  // `constants` by input index have the same value at every run and are compiled in. Of the other inputs only the last
  // `captures` may decide shapes by their values, as often as that does not turn into compiling at every run.
  ProgramCache(std::shared_ptr<const Graph> graph, CompileOptions options, std::unordered_map<size_t, Tensor> constants,
               size_t captures);
  ~ProgramCache();

  // The program for inputs of these types and extents (and values), compiled if needed. Incomplete
  // (Program::complete) if shapes depend on data or an operator is opaque. May be called by several threads.
  std::shared_ptr<const Program> find(const std::vector<Tensor>& inputs);

  const std::shared_ptr<const Graph>& graph() const;
  const CompileOptions& options() const;
  bool is_constant(size_t input) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace amct
