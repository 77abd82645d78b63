// The activation quantizer against AMCT's: float chain and integers, in every bit.
#include <gtest/gtest.h>

#include "kernels/simd/fake_quant.h"
#include "support/golden.h"

namespace amct {
namespace {

TEST(GoldenFakeQuantTest, AgreesWithAmct) {
  AMCT_NEEDS_ASSETS();
  int cases = 0;
  for (const char* file : {"deploy_a", "deploy_b"}) {
    const testing::Golden golden(file);
    for (const std::string& name : golden.cases("fakequant.")) {
      SCOPED_TRACE(name);
      const int bits = golden.parameters(name)["num_bits"];
      QuantizeSpec spec = QuantizeSpec::of(golden.floats(name, "scale")[0], golden.parameters(name)["offset"], bits);
      const std::vector<float> x = golden.floats(name, "x");
      std::vector<int16_t> integers(x.size());
      quantize(x.data(), integers.data(), x.size(), spec);
      const Tensor expected = golden.array(name, "y_int");
      std::vector<float> y(x.size());
      spec.scale = 1;  // the chain ends before the dequantization
      fake_quantize(x.data(), y.data(), x.size(), spec);
      const std::vector<float> expected_y = golden.floats(name, "y");
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(integers[i], expected.values<int32_t>()[i]) << i;
        EXPECT_EQ(y[i], expected_y[i]) << i;
      }
      ++cases;
    }
  }
  EXPECT_GE(cases, 18);
}

}  // namespace
}  // namespace amct
