// docs/passes.md is what the rows say; AMCT_UPDATE_DOCS=1 ctest -R PassesDoc writes it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/files.h"
#include "passes/pass.h"

namespace amct {
namespace {

TEST(PassesDoc, IsWhatTheRowsSay) {
  const std::string path = "docs/passes.md";
  if (std::getenv("AMCT_UPDATE_DOCS") != nullptr) write_file(path, passes_markdown());
  EXPECT_EQ(read_text(path), passes_markdown()) << "AMCT_UPDATE_DOCS=1 ctest -R PassesDoc writes the file";
}

TEST(PassesDoc, EveryRowIsComplete) {
  std::vector<std::string> names;
  for (const auto* list : {&simplify_passes(), &fusion_passes(), &execution_passes(), &integer_passes()}) {
    for (const PassInfo& pass : *list) {
      EXPECT_TRUE(pass.run != nullptr) << pass.name;
      EXPECT_FALSE(pass.place.empty()) << pass.name;
      EXPECT_EQ(pass.summary.back(), '.') << pass.name;
      EXPECT_EQ(std::count(names.begin(), names.end(), pass.name), 0) << pass.name << " stands in the table twice";
      names.push_back(pass.name);
    }
  }
}

}  // namespace
}  // namespace amct
