#include "plan/plan.h"

#include <gtest/gtest.h>

namespace amct {
namespace {

TEST(IntegerTypeName, ComesBackAsItsBits) {
  for (const int bits : {4, 6, 7, 8, 16, 32}) EXPECT_EQ(bits_of_type(integer_type_name(bits)), bits);
  EXPECT_EQ(integer_type_name(4), "INT4");
}

TEST(IntegerTypeName, WhatIsNoneHasEightBits) {
  for (const char* name : {"", "INT", "INTx", "INT8x", "UINT4", "INT-4", "INT0", "INT99", "INT99999999999"}) {
    EXPECT_EQ(bits_of_type(name), 8) << name;
  }
}

}  // namespace
}  // namespace amct
