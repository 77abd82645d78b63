#include <algorithm>
#include <random>

#include "kernels/index/strided.h"
#include "ops/movement_support.h"

namespace amct::testing {
namespace {

std::vector<float> pad_four(int64_t begin, int64_t end, const char* mode) {
  return values_of<float>(run_op("pad", {iota({4}), ints({begin, end})}, {{"mode", std::string(mode)}}));
}

TEST(Pad, Modes) {  // numbers from numpy.pad(np.arange(4), …)
  EXPECT_EQ(pad_four(2, 1, "constant"), (std::vector<float>{0, 0, 0, 1, 2, 3, 0}));
  EXPECT_EQ(pad_four(2, 3, "reflect"), (std::vector<float>{2, 1, 0, 1, 2, 3, 2, 1, 0}));
  EXPECT_EQ(pad_four(5, 0, "reflect"), (std::vector<float>{1, 2, 3, 2, 1, 0, 1, 2, 3}));
  EXPECT_EQ(pad_four(1, 2, "edge"), (std::vector<float>{0, 0, 1, 2, 3, 3, 3}));
  EXPECT_EQ(pad_four(2, 5, "wrap"), (std::vector<float>{2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0}));
}

TEST(Pad, NegativePadsCutBeforeTheRestIsMirrored) {
  EXPECT_EQ(pad_four(-1, 2, "reflect"), (std::vector<float>{1, 2, 3, 2, 1}));
  EXPECT_EQ(pad_four(-1, -2, "constant"), (std::vector<float>{1}));
  EXPECT_ERROR(pad_four(-3, -2, "constant"), "do not fit an axis of 4");
}

TEST(Pad, ValueAxesAndTypes) {
  const Tensor out = run_op("pad", {iota({2, 2}, DType::kInt8), ints({1, 0}), Tensor::scalar<int8_t>(9), ints({-1})});
  EXPECT_EQ(out.dims(), (Dims{2, 3}));
  EXPECT_EQ(values_of<int8_t>(out), (std::vector<int8_t>{9, 0, 1, 9, 2, 3}));
}

TEST(Pad, ChannelsLast) {
  const Tensor pads = ints({0, 1, 2, 0, 0, 2, 0, 1});
  expect_follows_layout("pad", {iota({2, 3, 4, 5}), pads, Tensor::scalar(0.5f)});
  for (const char* mode : {"reflect", "edge", "wrap"}) {
    expect_follows_layout("pad", {iota({2, 3, 4, 5}), pads}, {{"mode", std::string(mode)}});
  }
}

TEST(Pad, ConstantBorderTiesWithOffset) {
  const auto relations = relations_of("pad", {iota({2, 3, 4}), ints({0, 1, 0, 0, 2, 0})});
  ASSERT_EQ(relations.size(), 3u);
  EXPECT_EQ(relations[1].channels, 3);
  EXPECT_EQ(relations[1].refs[1].offset, 1);
}

TEST(Pad, Faults) {
  EXPECT_ERROR(pad_four(1, 1, "symmetric"), "mode 'symmetric' is unknown");
  EXPECT_ERROR(run_op("pad", {iota({4}), ints({1, 1, 1})}), "3 pads do not fit 1 axes");
  EXPECT_ERROR(run_op("pad", {iota({0}), ints({1, 1})}, {{"mode", std::string("edge")}}), "empty axis");
  EXPECT_ERROR(run_op("pad", {iota({4}), ints({int64_t{1} << 62, int64_t{1} << 62})}), "do not fit an axis of 4");
}

TEST(Transpose, AgainstNaiveLoop) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    const size_t rank = 1 + random() % 5;
    Dims dims(rank);
    std::vector<size_t> perm(rank);
    for (size_t i = 0; i < rank; ++i) {
      dims[i] = 1 + static_cast<int64_t>(random() % (rank > 3 ? 7 : 37));
      perm[i] = i;
    }
    std::shuffle(perm.begin(), perm.end(), random);
    const DType dtype = std::vector{DType::kFloat32, DType::kInt16, DType::kFloat64, DType::kInt64}[round % 4];
    const Tensor in = iota(dims, dtype);
    const Tensor out = run_op("transpose", {in}, {{"perm", Ints(perm.begin(), perm.end())}});
    const auto actual = out.to_int64s();
    const auto expected_of = in.to_int64s();
    const Dims in_strides = row_major_strides(dims), out_strides = row_major_strides(out.dims());
    for (int64_t flat = 0; flat < in.size(); ++flat) {
      int64_t source = 0;
      for (size_t k = 0; k < rank; ++k) source += flat / out_strides[k] % out.dims()[k] * in_strides[perm[k]];
      ASSERT_EQ(actual[static_cast<size_t>(flat)], expected_of[static_cast<size_t>(source)]) << to_string(dims);
    }
  }
}

TEST(Transpose, Faults) {
  EXPECT_ERROR(run_op("transpose", {iota({2, 3})}, {{"perm", Ints{0, 0}}}), "given twice");
  EXPECT_ERROR(run_op("transpose", {iota({2, 3})}, {{"perm", Ints{0}}}), "does not fit a tensor of rank 2");
}

TEST(DepthToSpace, BothOrders) {  // numbers from onnx's reference implementation
  const Tensor in = iota({1, 8, 1, 1});
  EXPECT_EQ(values_of<float>(run_op("depth_to_space", {in}, {{"blocksize", int64_t{2}}})),
            (std::vector<float>{0, 2, 4, 6, 1, 3, 5, 7}));
  const Attrs crd{{"blocksize", int64_t{2}}, {"mode", std::string("CRD")}};
  EXPECT_EQ(values_of<float>(run_op("depth_to_space", {in}, crd)), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  expect_follows_layout("depth_to_space", {iota({2, 12, 3, 5})}, {{"blocksize", int64_t{2}}});
  expect_follows_layout("depth_to_space", {iota({2, 12, 3, 5})}, crd);
  expect_follows_layout("space_to_depth", {iota({2, 3, 6, 4})}, {{"blocksize", int64_t{2}}});
  EXPECT_ERROR(run_op("depth_to_space", {iota({1, 6, 1, 1})}, {{"blocksize", int64_t{2}}}), "not a multiple of 4");
  EXPECT_ERROR(run_op("space_to_depth", {iota({1, 6, 1, 1})}, {{"blocksize", int64_t{0}}}), "blocksize 0");
}

TEST(SpaceToDepth, UndoesDepthToSpace) {
  const Attrs attrs{{"blocksize", int64_t{3}}};
  const Tensor in = iota({2, 18, 2, 5});
  EXPECT_TRUE(run_op("space_to_depth", {run_op("depth_to_space", {in}, attrs)}, attrs).same_bytes(in));
}

TEST(Expand, Broadcasts) {
  EXPECT_EQ(values_of<float>(run_op("expand", {iota({2, 1}), ints({2, 2, 3})})),
            (std::vector<float>{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(run_op("expand", {iota({2, 3}), ints({1})}).dims(), (Dims{2, 3}));
  EXPECT_ERROR(run_op("expand", {iota({2, 3}), ints({2})}), "does not broadcast");
  EXPECT_ERROR(run_op("expand", {iota({2, 1}), ints({-1})}), "negative");
}

TEST(Tile, RepeatsEndToEnd) {
  EXPECT_EQ(values_of<float>(run_op("tile", {iota({2, 2}), ints({2, 3})})),
            (std::vector<float>{0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3}));
  EXPECT_ERROR(run_op("tile", {iota({2, 2}), ints({2})}), "repeats do not fit");
  EXPECT_ERROR(run_op("tile", {iota({2}), ints({-1})}), "negative");
}

}  // namespace
}  // namespace amct::testing
