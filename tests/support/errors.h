// What a call says when it fails, for tests that look into the text.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace amct::testing {

// What the Error of `call` says; a call that throws none, or one for a mistake of our own, is a failure.
template <typename Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

// All faults that `call` reports, one text each; none if it reports none.
template <typename Call>
std::vector<std::string> faults_of(Call&& call) {
  std::vector<std::string> faults;
  try {
    call();
  } catch (const ErrorList& list) {
    for (const Error& error : list.errors()) faults.emplace_back(error.what());
  } catch (const Error& error) {
    faults.emplace_back(error.what());
  }
  return faults;
}

}  // namespace amct::testing

#define EXPECT_ERROR(call, text)                                                    \
  EXPECT_NE(::amct::testing::error_of([&] { call; }).find(text), std::string::npos) \
      << ::amct::testing::error_of([&] { call; })
