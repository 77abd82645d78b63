// Packed 4-bit weights: the nibbles by hand, and back through the reader's own way.
#include "passes/quantize/pack_int4.h"

#include <gtest/gtest.h>

#include <random>

#include "frontends/onnx/int4_weights.h"

namespace amct {
namespace {

TEST(PackInt4, LowNibbleFirstAlongTheAxis) {
  const Tensor integers = Tensor::of<int8_t>({2, 2, 3}, {1, -2, 3, -4, 5, -6, 7, -8, 0, -1, 2, 6});
  const Tensor packed = packed_int4(integers, 1);
  EXPECT_EQ(packed.dims(), (Dims{2, 1, 3}));
  const std::vector<int8_t> expected = {static_cast<int8_t>(0xc1), 0x5e, static_cast<int8_t>(0xa3),
                                        static_cast<int8_t>(0xf7), 0x28, 0x60};
  EXPECT_EQ(std::vector<int8_t>(packed.values<int8_t>().begin(), packed.values<int8_t>().end()), expected);
}

TEST(PackInt4, TheReaderTakesItApart) {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> value(-8, 7);
  for (const Dims& dims : {Dims{6, 5}, Dims{3, 4, 3, 5}, Dims{2, 2, 7}, Dims{8, 1}}) {
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      if (dims[axis] % 2 != 0) continue;
      std::vector<int8_t> values(static_cast<size_t>(element_count(dims)));
      for (int8_t& item : values) item = static_cast<int8_t>(value(random));
      const Tensor integers = Tensor::of<int8_t>(dims, values);
      const Tensor back = onnx_file::unpack_int4(packed_int4(integers, axis), axis);
      EXPECT_EQ(back.dims(), dims);
      EXPECT_EQ(std::vector<int8_t>(back.values<int8_t>().begin(), back.values<int8_t>().end()), values);
    }
  }
}

}  // namespace
}  // namespace amct
