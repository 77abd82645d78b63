#include "ops/movement_support.h"

namespace amct::testing {
namespace {

Tensor flags(const std::vector<uint8_t>& bits) {
  return Tensor::of<uint8_t>({static_cast<int64_t>(bits.size())}, bits).cast(DType::kBool);
}

TEST(NonZero, CoordinatesByAxis) {
  const Tensor out = run_op("non_zero", {floats({2, 3}, {1, 0, 0, 2, 0, -3})});
  EXPECT_EQ(out.dims(), (Dims{2, 3}));
  EXPECT_EQ(values_of<int64_t>(out), (Ints{0, 1, 1, 0, 0, 2}));
  EXPECT_EQ(run_op("non_zero", {floats({}, {5})}).dims(), (Dims{0, 1}));
}

TEST(Compress, AxisAndFlat) {
  EXPECT_EQ(values_of<float>(run_op("compress", {iota({3, 2}), flags({0, 1, 1})}, {{"axis", int64_t{0}}})),
            (std::vector<float>{2, 3, 4, 5}));
  EXPECT_EQ(values_of<float>(run_op("compress", {iota({3, 2}), flags({0, 1})}, {{"axis", int64_t{-1}}})),
            (std::vector<float>{1, 3, 5}));
  EXPECT_EQ(values_of<float>(run_op("compress", {iota({3, 2}), flags({0, 1, 0, 0, 1})})), (std::vector<float>{1, 4}));
  EXPECT_ERROR(run_op("compress", {iota({3}), flags({0, 1, 0, 1})}), "does not fit 3 entries");
}

TEST(Compress, FillsDeclaredExtentsOrRefuses) {
  const std::vector<Tensor> inputs{iota({3, 2}), flags({0, 1, 1})};
  const OneNode one = one_node("compress", inputs, {{"axis", int64_t{0}}});
  const auto run = [&](Dims declared) {
    Tensor out = Tensor::allocate(DType::kFloat32, std::move(declared));
    RunContext context(one.node(), {inputs[0].view(), inputs[1].view()}, {out.mutable_view()});
    one.node().row->run(context);
    return out;
  };
  EXPECT_EQ(values_of<float>(run({2, 2})), (std::vector<float>{2, 3, 4, 5}));
  EXPECT_ERROR(run({1, 2}), "output 0 is float32 [2, 2], and the model declares float32 [1, 2]");
}

TEST(Unique, SortedInOrderAndByAxis) {
  const Tensor in = floats({6}, {2, 1, 1, 3, 4, 3});
  const auto sorted = run_all("unique", {in}, {}, 4);
  EXPECT_EQ(values_of<float>(sorted[0]), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(sorted[1].to_int64s(), (Ints{1, 0, 3, 4}));
  EXPECT_EQ(sorted[2].to_int64s(), (Ints{1, 0, 0, 2, 3, 2}));
  EXPECT_EQ(sorted[3].to_int64s(), (Ints{2, 1, 2, 1}));
  const auto in_order = run_all("unique", {in}, {{"sorted", int64_t{0}}}, 4);
  EXPECT_EQ(values_of<float>(in_order[0]), (std::vector<float>{2, 1, 3, 4}));
  EXPECT_EQ(in_order[2].to_int64s(), (Ints{0, 1, 1, 2, 3, 2}));
  const auto rows = run_all("unique", {floats({3, 2}, {1, 0, 0, 1, 1, 0})}, {{"axis", int64_t{0}}}, 4);
  EXPECT_EQ(values_of<float>(rows[0]), (std::vector<float>{0, 1, 1, 0}));
  EXPECT_EQ(rows[1].to_int64s(), (Ints{1, 0}));
  EXPECT_EQ(rows[3].to_int64s(), (Ints{1, 2}));
}

}  // namespace
}  // namespace amct::testing
