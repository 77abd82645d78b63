// Where the real models and data lie: AMCT_ASSETS, by default ../shared/assets beside the project. Tests that need them
// are left out, with one line saying so, where the folder is missing or empty; with CI=true that is a failure.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace amct::testing {

inline std::filesystem::path assets() {
  const char* given = std::getenv("AMCT_ASSETS");
  return given != nullptr ? std::filesystem::path(given) : std::filesystem::path("../shared/assets");
}

inline bool has_assets() {
  std::error_code error;
  return std::filesystem::is_directory(assets(), error) && !std::filesystem::is_empty(assets(), error);
}

inline bool assets_missing_is_a_failure() {
  const char* ci = std::getenv("CI");
  return ci != nullptr && std::string(ci) == "true";
}

}  // namespace amct::testing

// At the start of a test body that reads assets.
#define AMCT_NEEDS_ASSETS()                                                         \
  if (!amct::testing::has_assets()) {                                               \
    if (amct::testing::assets_missing_is_a_failure()) FAIL() << "no assets";        \
    GTEST_SKIP() << "left out: there are no assets at " << amct::testing::assets(); \
  }
