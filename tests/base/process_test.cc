#include "base/process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>

#include "base/error.h"

namespace amct {
namespace {

TEST(ShellQuoted, ComesBackFromAShell) {
  EXPECT_EQ(shell_quoted("out/small_v1.2+x=3,4:5@6%.onnx"), "out/small_v1.2+x=3,4:5@6%.onnx");
  for (const std::string text : {"a b", "it's", "''", "$HOME `pwd` \"x\" \\ *", "~", "x;y"}) {
    ChildProcess shell({"sh", "-c", "printf %s " + shell_quoted(text)}, 1);
    EXPECT_EQ(shell.receive_line(), text);
  }
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(ChildProcess, AnswersOnAChannelOfItsOwn) {
  ChildProcess child({"sh", "-c", "while read word <&3; do echo \"got $word\" >&3; done; exit 7"}, 3);
  for (const char* word : {"one", "two"}) {
    ASSERT_TRUE(child.send_line(word));
    EXPECT_EQ(child.receive_line(), std::string("got ") + word);
  }
}

TEST(ChildProcess, GivesItsOutputAndItsStatus) {
  ChildProcess child({"sh", "-c", "printf 'first\\nlast'; exit 7"}, 1);
  EXPECT_EQ(child.receive_line(), "first");
  EXPECT_EQ(child.receive_line(), "last");
  EXPECT_EQ(child.receive_line(), std::nullopt);
  EXPECT_EQ(child.wait(), 7);
}

TEST(ChildProcess, SaysWhichSignalEndedIt) {
  ChildProcess child({"sh", "-c", "kill -9 $$"}, 1);
  EXPECT_EQ(child.receive_line(), std::nullopt);
  EXPECT_EQ(child.wait(), 128 + SIGKILL);
}

TEST(ChildProcess, OneThatIsGoneTakesNoLines) {
  ChildProcess child({"true"}, 3);
  EXPECT_EQ(child.receive_line(), std::nullopt);
  EXPECT_FALSE(child.send_line("anybody there?"));
}

TEST(ChildProcess, OneThatDoesNotEndIsKilled) {
  const auto start = std::chrono::steady_clock::now();
  { ChildProcess child({"sleep", "60"}, 3); }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(ChildProcess, AProgramThatIsNotThere) { EXPECT_THROW(ChildProcess({"no-such-program-anywhere"}, 1), Error); }

TEST(ChildProcess, ALineWithoutEndIsRefused) {
  ChildProcess child({"sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"}, 1);
  EXPECT_THROW(child.receive_line(), Error);
}

}  // namespace
}  // namespace amct
