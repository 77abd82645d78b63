// docs/ops.md is what the rows say; AMCT_UPDATE_DOCS=1 ctest -R OpsDoc writes it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/files.h"
#include "report/ops_table.h"

namespace amct {
namespace {

TEST(OpsDoc, IsWhatTheRowsSay) {
  const std::string path = "docs/ops.md";
  if (std::getenv("AMCT_UPDATE_DOCS") != nullptr) write_file(path, ops_markdown());
  EXPECT_EQ(read_text(path), ops_markdown()) << "AMCT_UPDATE_DOCS=1 ctest -R OpsDoc writes the file";
}

}  // namespace
}  // namespace amct
