// Work of making kernels that can wait: creating code, packing weights. What a kernel looks like from outside (extents,
// scratch memory, name) is known without it. Who makes many kernels collects it and does it side by side.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace amct {

// While it lives, it keeps what kernels made by this thread put off. The innermost one of a thread keeps.
class DeferredWork {
 public:
  using Task = std::function<void()>;
  DeferredWork();
  ~DeferredWork();
  DeferredWork(const DeferredWork&) = delete;
  DeferredWork& operator=(const DeferredWork&) = delete;

  // Tasks may run in any order, on any thread, and throw Error. No kernel may be bound before its own has run.
  std::vector<Task> take() { return std::move(tasks_); }

  // True if `put_off` would keep a task for this thread; otherwise the caller does the work itself.
  static bool is_collected();
  static void put_off(Task task);

 private:
  DeferredWork* outer_;
  std::vector<Task> tasks_;
};

}  // namespace amct
