// Segments: a graph in which output shapes depend on data, as a chain.
//
//   head   what can be computed before any such shape: compiled
//   cut    the nodes that stop it (NonZero, NonMaxSuppression, …), and those like them that are ready: run one by one
//   tail   what follows, once the extents are known: compiled again, and cut again where it must be
//
// Head and tail are sessions of their own, each with its own cache of programs: new extents behind a cut compile
// nothing before it.
#pragma once

#include <memory>
#include <vector>

#include "exec/program.h"
#include "exec/session.h"

namespace amct {

class Segments {
 public:
  // `stopped` is the graph's program as far as it gets.
  Segments(std::shared_ptr<const Graph> graph, const Program& stopped, const CompileOptions& options);
  ~Segments();

  // Like Session::run: `inputs` in the order of the graph's. Returns the graph's outputs, then the kept values.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, const ObserveFn& observe, Profile* profile);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace amct
