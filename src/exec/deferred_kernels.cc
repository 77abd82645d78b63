#include "exec/deferred_kernels.h"

#include "base/error.h"
#include "base/thread_pool.h"

namespace amct {

void DeferredKernels::add(NodeId node, DeferredWork& work) {
  for (DeferredWork::Task& task : work.take()) tasks_.emplace_back(node, std::move(task));
}

void DeferredKernels::run(const Graph& graph, int workers) {
  parallel_for(tasks_.size(), workers, [&](int, size_t i) {
    const auto& [id, task] = tasks_[tasks_.size() - 1 - i];  // many networks end with their largest weights
    try {
      task();
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = graph.node(id).name, .op = graph.node(id).op});
    }
  });
  tasks_.clear();
}

}  // namespace amct
