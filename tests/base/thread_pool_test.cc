#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace amct {
namespace {

namespace fs = std::filesystem;

TEST(ParallelFor, EveryIndexRunsOnceAndWorkersAreInRange) {
  for (const int workers : {-3, 0, 1, 2, 7}) {
    std::vector<std::atomic<int>> hits(101);
    std::atomic<bool> in_range{true};
    parallel_for(hits.size(), workers, [&](int worker, size_t index) {
      if (worker < 0 || worker >= std::max(workers, 1)) in_range = false;
      ++hits[index];
    });
    EXPECT_TRUE(in_range) << workers;
    for (const auto& hit : hits) EXPECT_EQ(hit, 1) << workers;
  }
}

TEST(ParallelFor, OneWorkerIsInOrderOnTheCallingThread) {
  std::vector<size_t> order;
  const auto here = std::this_thread::get_id();
  parallel_for(5, 1, [&](int, size_t index) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    order.push_back(index);
  });
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 4}));
}

TEST(ParallelFor, NoIndexNoCall) {
  parallel_for(0, 4, [](int, size_t) { FAIL(); });
}

TEST(ParallelFor, LowestFaultIsRethrownAndWorkStops) {
  std::atomic<int> calls{0};
  try {
    parallel_for(100000, 3, [&](int, size_t index) {
      ++calls;
      if (index == 2) std::this_thread::sleep_for(std::chrono::milliseconds(30));
      if (index >= 2) throw std::runtime_error(std::to_string(index));
    });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "2");
  }
  EXPECT_LT(calls, 100);
}

class Groups : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("amct_groups_" + std::to_string(::getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(Groups, NoGroupLeavesTheMask) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(usable_cores(root_), CPU_COUNT(&set));
  write("proc/self/cgroup", "0::/a\n");
  write("sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(usable_cores(root_), CPU_COUNT(&set));
}

TEST_F(Groups, QuotaOfAnOuterGroupCounts) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/outer/cpu.max", "50000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1);
}

TEST_F(Groups, FirstVersionAndNonsense) {
  write("proc/self/cgroup", "nonsense\n4:memory:/m\n3:cpu,cpuacct:/job\n");
  write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(usable_cores(root_), 1);
  write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "0\n");
  EXPECT_GE(usable_cores(root_), 1);
}

}  // namespace
}  // namespace amct
