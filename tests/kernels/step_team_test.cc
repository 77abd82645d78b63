// Every part of every step runs once, and none before the step before it is done, whatever the numbers of threads and
// parts.
#include "kernels/step_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace amct {
namespace {

TEST(StepTeam, RunsEveryPartOnceAndStepsInOrder) {
  for (const int threads : {1, 2, 3, 5}) {
    for (const int64_t parts : {1, 2, 3, 7, 64}) {
      SCOPED_TRACE(::testing::Message() << threads << " threads, " << parts << " parts");
      const int64_t steps = 40;
      std::vector<std::atomic<int>> runs(static_cast<size_t>(steps * parts));
      std::vector<std::atomic<int64_t>> done(static_cast<size_t>(steps));
      std::atomic<int> early{0};
      run_steps(threads, steps, parts, [&](int64_t step, int64_t part) {
        if (step > 0 && done[static_cast<size_t>(step - 1)] != parts) ++early;
        ++runs[static_cast<size_t>(step * parts + part)];
        ++done[static_cast<size_t>(step)];
      });
      EXPECT_EQ(early, 0);
      for (const auto& count : runs) ASSERT_EQ(count, 1);
    }
  }
}

TEST(StepTeam, SeesWhatTheStepBeforeWrote) {
  std::vector<int64_t> before(11, 1), after(11);
  run_steps(3, 20, 11, [&](int64_t step, int64_t part) {
    auto& from = step % 2 == 0 ? before : after;
    auto& to = step % 2 == 0 ? after : before;
    int64_t sum = 0;
    for (const int64_t x : from) sum += x;
    to[static_cast<size_t>(part)] = sum % 1009;
  });
  int64_t expected = 1;
  for (int step = 0; step < 20; ++step) expected = expected * 11 % 1009;
  for (const int64_t x : before) EXPECT_EQ(x, expected);
}

TEST(StepTeam, NoStepsRunNothing) {
  run_steps(2, 0, 4, [](int64_t, int64_t) { ADD_FAILURE(); });
}

}  // namespace
}  // namespace amct
