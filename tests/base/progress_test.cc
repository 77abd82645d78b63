#include "base/progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "base/log.h"

namespace amct {
namespace {

// A clock that the test moves, and a file that it reads back.
class ProgressTest : public ::testing::Test {
 protected:
  void SetUp() override { file_ = std::tmpfile(); }
  void TearDown() override {
    std::fclose(file_);
    set_log_level(LogLevel::kInfo);
  }
  Progress::Output output(bool terminal) {
    return {file_, [terminal] { return terminal; }, [this] { return now_; }};
  }
  void wait(double seconds) {
    now_ += std::chrono::duration_cast<Progress::Clock::duration>(std::chrono::duration<double>(seconds));
  }
  std::string written() {
    std::rewind(file_);
    std::string text;
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) text.push_back(static_cast<char>(c));
    return text;
  }
  std::FILE* file_ = nullptr;
  Progress::Clock::time_point now_{};
};

TEST_F(ProgressTest, ShortJobsAreSilent) {
  for (const bool terminal : {true, false}) {
    Progress progress("calibrating", 10, "images", output(terminal));
    for (int i = 0; i < 10; ++i) {
      wait(0.15);
      progress.advance();
    }
  }
  EXPECT_EQ(written(), "");
}

TEST_F(ProgressTest, BarOnATerminalIsTakenAway) {
  {
    Progress progress("calibrating", 100, "images", output(true));
    wait(1);
    progress.advance(25);
  }
  EXPECT_EQ(written(), "\rcalibrating [######------------------] 25/100 25%, 25 images/s, 3 s left\x1b[K\r\x1b[K");
}

TEST_F(ProgressTest, PlainLinesEveryFewSecondsElsewhere) {
  Progress progress("evaluating", 40, "images", output(false));
  for (int i = 0; i < 32; ++i) {
    wait(0.25);
    progress.advance();
  }
  EXPECT_EQ(written(), "evaluating 8/40 20%, 4.0 images/s, 8 s left\nevaluating 28/40 70%, 4.0 images/s, 3 s left\n");
  EXPECT_DOUBLE_EQ(progress.seconds(), 8);
}

TEST_F(ProgressTest, UnknownTotal) {
  Progress progress("reading", 0, "files", output(false));
  wait(4);
  progress.advance(2);
  EXPECT_EQ(written(), "reading 2 files, 0.5 files/s\n");
}

TEST_F(ProgressTest, QuietIsSilent) {
  set_log_level(LogLevel::kQuiet);
  Progress progress("evaluating", 40, "images", output(true));
  wait(9);
  progress.advance();
  EXPECT_EQ(written(), "");
}

TEST(DurationText, Units) {
  EXPECT_EQ(duration_text(-1), "0 s");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(185), "3 min 05 s");
  EXPECT_EQ(duration_text(7830), "2 h 10 min");
}

}  // namespace
}  // namespace amct
