// The number of threads that kernels called from this thread may use (the OpenMP team that oneDNN and our own parallel
// loops share). Workers that each run their own sample limit themselves to one.
#pragma once

namespace amct {

// Limits kernels called from the current thread, until destroyed.
class ThreadLimit {
 public:
  explicit ThreadLimit(int threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int previous_;
};

}  // namespace amct
