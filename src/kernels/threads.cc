#include "kernels/threads.h"

#include <omp.h>

namespace amct {

ThreadLimit::ThreadLimit(int threads) : previous_(omp_get_max_threads()) {
  if (threads != previous_) omp_set_num_threads(threads);
}

ThreadLimit::~ThreadLimit() {
  if (omp_get_max_threads() != previous_) omp_set_num_threads(previous_);
}

}  // namespace amct
