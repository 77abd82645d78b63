// Output files appear together or not at all.
#include "base/files.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "data/temporary_folder.h"

namespace amct {
namespace {

class OutputFilesTest : public TemporaryFolder {
 protected:
  size_t count() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {})); }
};

TEST_F(OutputFilesTest, ReplaceWhatWasThere) {
  write("a", "old");
  OutputFiles files;
  files.add(path("a")).write("new a");
  files.add(path("b")).write("new b");
  EXPECT_EQ(contents("a"), "old");
  files.commit();
  EXPECT_EQ(contents("a"), "new a");
  EXPECT_EQ(contents("b"), "new b");
  EXPECT_EQ(count(), 2u);
}

TEST_F(OutputFilesTest, OneThatCannotBePutInPlaceTakesTheOthersBack) {
  write("a", "old");
  {
    OutputFiles files;
    for (const char* name : {"a", "b", "c", "d"}) files.add(path(name)).write("new");
    std::filesystem::create_directory(path("c"));
    EXPECT_THROW(files.commit(), Error);
  }
  EXPECT_EQ(contents("a"), "old");
  EXPECT_TRUE(std::filesystem::is_directory(path("c")));
  EXPECT_EQ(count(), 2u);
}

TEST_F(OutputFilesTest, NothingIsLeftWithoutACommit) {
  write("a", "old");
  {
    OutputFiles files;
    files.add(path("a")).write(std::string(1 << 20, 'x'));
    files.add(path("inner/b")).write("new");
  }
  EXPECT_EQ(contents("a"), "old");
  EXPECT_TRUE(std::filesystem::is_empty(path("inner")));
  EXPECT_EQ(count(), 2u);
}

}  // namespace
}  // namespace amct
