#include "kernels/deferred_work.h"

#include <utility>

#include "base/error.h"

namespace amct {
namespace {

thread_local DeferredWork* innermost = nullptr;

}  // namespace

DeferredWork::DeferredWork() : outer_(std::exchange(innermost, this)) {}
DeferredWork::~DeferredWork() { innermost = outer_; }

bool DeferredWork::is_collected() { return innermost != nullptr; }

void DeferredWork::put_off(Task task) {
  AMCT_CHECK(innermost != nullptr, "nobody collects deferred work");
  innermost->tasks_.push_back(std::move(task));
}

}  // namespace amct
