#include "recipe/record_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "recipe/text_proto.h"
#include "support/assets.h"

namespace amct {
namespace {

TEST(RecordFileTest, GoldenFilesComeBackByteForByte) {
  AMCT_NEEDS_ASSETS();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::assets() / "golden" / "models")) {
    const std::string path = entry.path().string();
    if (!path.ends_with("_record.txt")) continue;
    SCOPED_TRACE(path);
    const std::string text = read_text(entry.path());
    EXPECT_EQ(format_records(parse_records(text, path)), text);
    ++files;
  }
  EXPECT_GE(files, 12);
}

TEST(RecordFileTest, WritesThePlan) {
  Plan plan;
  LayerPlan conv{.name = "block/con\"v'1\n\xc3\xa9"};
  conv.activation.factor = ScaleOffset{1.0f, -128};
  conv.weight = WeightPlan{.bits = 6, .per_channel = true, .scales = {0.1f, 2.0458456e-05f}};
  LayerPlan kept{.name = "fc", .quantize = false};
  LayerPlan pool{.name = "pool"};
  pool.activation.bits = 16;
  pool.activation.factor = ScaleOffset{0.25f, 0};
  plan.layers = {conv, kept, pool};
  const std::string text = format_records(records_of(plan));
  EXPECT_EQ(text, R"(record {
  key: "block/con\"v\'1\n\303\251"
  value {
    scale_d: 1.0
    offset_d: -128
    scale_w: 0.1
    scale_w: 2.0458456e-05
    offset_w: 0
    offset_w: 0
    act_type: "INT8"
    wts_type: "INT6"
  }
}
record {
  key: "pool"
  value {
    scale_d: 0.25
    offset_d: 0
    scale_w: 1.0
    offset_w: 0
    act_type: "INT16"
  }
}
)");
  EXPECT_EQ(parse_records(text, "r.txt"), records_of(plan));
}

TEST(RecordFileTest, ReadsOtherSpellings) {
  EXPECT_TRUE(parse_records("# a comment\n  # and another", "r.txt").empty());
  const auto two =
      parse_records("record{key:'a' \"\\142\\x63\"; value{scale_d:.5 offset_d:3,dst_type:'INT16'}}", "r.txt");
  ASSERT_EQ(two.size(), 1u);
  EXPECT_EQ(two[0].key, "abc");
  EXPECT_EQ(two[0].scale_d, 0.5f);
}

// Every fault at once, each at its place.
TEST(RecordFileTest, ReportsAllFaults) {
  const std::string text = R"(record {
  key: "a"
  value {
    scale_d: -1
    offset_d: 200
    scale_wx: 1.0
    offset_w: 1
    act_type: "INT3"
    shift_bit: 17
  }
}
other: 3
record { key: "a" value { scale_d: nope scale_d: 1 offset_d: 1.5 } }
record { value { } }
)";
  try {
    parse_records(text, "r.txt");
    FAIL();
  } catch (const ErrorList& list) {
    std::string all;
    for (const Error& error : list.errors()) {
      EXPECT_EQ(error.code(), ErrorCode::kConfig);
      EXPECT_EQ(error.where().file, "r.txt");
      EXPECT_GT(error.where().line, 0);
      all += std::string(error.what()) + "\n";
    }
    for (const char* part :
         {"scale_d is -1", "offset_d is 200", "did you mean 'scale_w'", "offset_w must be 0", "act_type is 'INT3'",
          "shift_bit must be", "'other' is not a record", "a second record of 'a'", "scale_d is 'nope'",
          "offset_d is '1.5'", "record without a key"}) {
      EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
    }
  }
}

TEST(RecordFileTest, SurvivesEveryTruncation) {
  const std::string text = "record {\n  key: \"a\\303\"\n  value {\n    scale_d: 1.0\n    offset_d: 0\n  }\n}\n";
  for (size_t size = 0; size < text.size(); ++size) {
    try {
      parse_records(text.substr(0, size), "r.txt");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kConfig);
    }
  }
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "a {";
  EXPECT_THROW(parse_records(deep, "r.txt"), Error);
}

TEST(RecordFileTest, FloatsAreShortest) {
  EXPECT_EQ(format_float(1.0f), "1.0");
  EXPECT_EQ(format_float(0.1f), "0.1");
  EXPECT_EQ(format_float(1e-5f), "1e-05");
  EXPECT_EQ(format_float(123456.0f), "123456.0");
  EXPECT_EQ(format_float(-0.0f), "-0.0");
}

}  // namespace
}  // namespace amct
