// Work over indices on several threads: samples, images, files. (Inside a program OpenMP has the threads: kernels/.)
//
// Threads are started for one call and joined at its end, so nothing runs that nobody waits for, and there is no state
// to fork or to shut down.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>

namespace amct {

// Cores that this process may use: the affinity mask, limited by the CPU quota of its control group (rounded up); at
// least 1. `root` is where /proc and /sys/fs/cgroup are looked up.
int usable_cores(const std::filesystem::path& root = "/");

// Calls fn(worker, index) for every index in [0, count), worker in [0, workers): each worker takes the lowest index
// that nobody has. Worker 0 is the calling thread; with one worker everything runs there, in order. After an exception
// no new index is started, and the exception of the lowest index that threw is rethrown when all workers have stopped.
void parallel_for(size_t count, int workers, const std::function<void(int worker, size_t index)>& fn);

}  // namespace amct
