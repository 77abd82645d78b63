// Instruction sets by name: one table of them, and what our own kernels use under each.
#include "kernels/dnnl/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>

#include "base/error.h"
#include "kernels/simd/byte_dot.h"
#include "kernels/simd/isa.h"

namespace amct::testing {
namespace {

using Names = std::set<std::string>;

// A limit holds for the process: each is tried in one of its own.
class Isa : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

[[noreturn]] void end(bool good) { std::_Exit(good ? 0 : 1); }

Names own_kernels() {
  Names names;
  for (const ByteDot& dot : byte_dots()) names.insert(dot.name);
  return names;
}

Names of_processor() {
  Names names;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) names.insert("avx2");
  if (__builtin_cpu_supports("avx512bw")) names.insert("avx512");
  if (__builtin_cpu_supports("avx512vnni")) names.insert("avx512_vnni");
#endif
  return names;
}

// All that the level lets them use and the processor has, and nothing else. (What the compiler may not know of the
// processor, AVX-VNNI, need not be there.)
bool uses(VectorLevel level, const Names& may) {
  limit_vectors(level);
  const Names used = own_kernels();
  for (const std::string& name : of_processor()) {
    if (may.contains(name) && !used.contains(name)) return false;
  }
  return std::ranges::includes(may, used);
}

TEST_F(Isa, OfThisProcessorIsOneOfTheTable) {
  const std::vector<std::string> names = dnn::isa_names();
  EXPECT_NE(std::ranges::find(names, dnn::isa_name()), names.end()) << dnn::isa_name();
}

TEST_F(Isa, EveryNameIsTakenOrBeyondThisProcessor) {
  for (const std::string& name : dnn::isa_names()) {
    const auto limit = [&] {
      try {
        dnn::limit_isa(name);
        end(dnn::isa_name() == name);
      } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        end(error.code() == ErrorCode::kUnsupported && !of_processor().contains(name));
      }
    };
    EXPECT_EXIT(limit(), ::testing::ExitedWithCode(0), "") << name;
  }
  EXPECT_THROW(dnn::limit_isa("avx3"), Error);
}

TEST_F(Isa, LongVectorsAndVnniAreApart) {
  EXPECT_EXIT(end(uses(VectorLevel::kSse4, {})), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(end(uses(VectorLevel::kAvx2, {"avx2"})), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(end(uses(VectorLevel::kAvx2Vnni, {"avx2", "avx_vnni"})), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(end(uses(VectorLevel::kAvx512, {"avx2", "avx512"})), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(end(uses(VectorLevel::kAvx512Vnni, {"avx2", "avx_vnni", "avx512", "avx512_vnni"})),
              ::testing::ExitedWithCode(0), "");
}

TEST_F(Isa, IsNotLimitedOnceAKernelHasAsked) {
  const auto late = [] {
    own_kernels();
    try {
      limit_vectors(VectorLevel::kAvx2);
    } catch (const Error& error) {
      end(error.code() == ErrorCode::kInternal);
    }
    end(false);
  };
  EXPECT_EXIT(late(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace amct::testing
