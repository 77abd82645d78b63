// Work of a program's kernels (creating code, packing weights: most of the time of compiling) that is put off until all
// of them are chosen, and then done side by side.
#pragma once

#include <utility>
#include <vector>

#include "ir/graph.h"
#include "kernels/deferred_work.h"

namespace amct {

class DeferredKernels {
 public:
  void add(NodeId node, DeferredWork& work);
  // Throws Error naming the node.
  void run(const Graph& graph, int workers);

 private:
  std::vector<std::pair<NodeId, DeferredWork::Task>> tasks_;
};

}  // namespace amct
