// docs/passes.md is what the rows say; AMCT_UPDATE_DOCS=1 ctest -R PassesDoc writes it.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/files.h"
#include "passes/pass.h"

namespace amct {
namespace {

std::string passes_markdown() {
  std::string text =
      "# Passes\n\n"
      "Generated from the rows of `src/passes/pass_table.cc`; `tests/passes/passes_doc_test.cc` keeps it up to date.\n"
      "Each list runs in this order, again and again until no pass changes anything. *exact*: the network computes "
      "the\n"
      "same bits with the plain kernels; *rounding*: the same up to float rounding; *lossy*: "
      "quantized values\nmay change by a quantum. The last two lists are for graphs that are run and never written.\n";
  const auto table = [&](std::string_view title, const std::vector<PassInfo>& passes) {
    text += fmt::format("\n## {}\n\n| pass | promise | what it does | why here |\n|---|---|---|---|\n", title);
    for (const PassInfo& pass : passes) {
      text += fmt::format("| `{}` | {} | {} | {} |\n", pass.name, name_of(pass.effect), pass.summary, pass.place);
    }
  };
  table("Simplify", simplify_passes());
  table("Fusion", fusion_passes());
  table("Execution", execution_passes());
  table("Integer execution", integer_passes());
  return text;
}

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
