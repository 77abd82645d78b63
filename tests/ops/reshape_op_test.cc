#include "ops/movement.h"
#include "ops/movement_support.h"

namespace amct::testing {
namespace {

TEST(Reshape, ZeroCopiesAndMinusOneIsTheRest) {
  const Tensor out = run_op("reshape", {iota({2, 3, 4}), ints({0, -1, 2})});
  EXPECT_EQ(out.dims(), (Dims{2, 6, 2}));
  EXPECT_EQ(values_of<float>(out), values_of<float>(iota({24})));
}

TEST(Reshape, AllowzeroTakesZeroLiterally) {
  const Attrs attrs{{"allowzero", int64_t{1}}};
  EXPECT_EQ(run_op("reshape", {iota({0, 3}), ints({3, 0})}, attrs).dims(), (Dims{3, 0}));
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({0, 3})}, attrs), "cannot be reshaped");
  EXPECT_ERROR(run_op("reshape", {iota({0, 3}), ints({0, -1})}, attrs), "ambiguous");
}

TEST(Reshape, KeepsWhatItKnowsOfSymbolicShapes) {
  const Dim n = Dim::named("N");
  const Shape images({n, 64, 7, 7});
  EXPECT_EQ(infer_shape("reshape", {images, Shape::of({2})}, {{}, ints({0, -1})}), Shape({n, 3136}));
  EXPECT_EQ(infer_shape("reshape", {images, Shape::of({2})}, {{}, ints({-1, 3136})}), Shape({n, 3136}));
  EXPECT_EQ(infer_shape("reshape", {images, Shape::of({3})}, {}), Shape::of_rank(3));
  EXPECT_EQ(infer_shape("reshape", {Shape(), Shape::of({2})}, {{}, ints({5, -1})}), Shape({5, Dim()}));
}

TEST(Reshape, RejectsShapesThatDoNotFit) {
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({4, 2})}), "[2, 3] cannot be reshaped to [4, 2]");
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({4, -1})}), "cannot be reshaped");
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({-1, -1})}), "more than one -1");
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({-2, 3})}), "below -1");
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({2, 3, 0})}), "copies dim 2");
  EXPECT_ERROR(run_op("reshape", {iota({2, 3}), ints({int64_t{1} << 40, int64_t{1} << 40, -1})}), "too large");
}

TEST(Reshape, FlattenTiesChannelsToBlocks) {
  const auto relations = relations_of("reshape", {iota({2, 3, 4, 5}), ints({2, -1})});
  ASSERT_EQ(relations.size(), 4u);
  const AxisRelation& channels = relations[2];
  EXPECT_EQ(channels.kind, AxisRelation::Kind::kTie);
  EXPECT_EQ(channels.channels, 3);
  EXPECT_EQ(channels.refs[0].axis, 1u);
  EXPECT_EQ(channels.refs[0].inner, 1);
  EXPECT_EQ(channels.refs[1].axis, 1u);
  EXPECT_EQ(channels.refs[1].outer, 1);
  EXPECT_EQ(channels.refs[1].inner, 20);
}

TEST(Reshape, ChannelShuffleTiesGroupsAndMembers) {
  const auto relations = relations_of("reshape", {iota({1, 6, 5}), ints({1, 2, 3, 5})});
  ASSERT_EQ(relations.size(), 3u);  // 5 pixels, 3 members, 2 groups
  EXPECT_EQ(relations[1].channels, 3);
  EXPECT_EQ(relations[1].refs[0].outer, 2);
  EXPECT_EQ(relations[1].refs[0].inner, 1);
  EXPECT_EQ(relations[1].refs[1].axis, 2u);
  EXPECT_EQ(relations[2].channels, 2);
  EXPECT_EQ(relations[2].refs[0].outer, 1);
  EXPECT_EQ(relations[2].refs[0].inner, 3);
}

TEST(Reshape, LocksWhatItMixes) {
  const auto relations = relations_of("reshape", {iota({3, 4, 9, 5}), ints({3, 6, 6, 5})});
  ASSERT_EQ(relations.size(), 6u);
  EXPECT_EQ(relations[0].kind, AxisRelation::Kind::kTie);
  for (size_t i = 1; i < 5; ++i) EXPECT_EQ(relations[i].kind, AxisRelation::Kind::kLock);
  EXPECT_EQ(relations[5].kind, AxisRelation::Kind::kTie);
  EXPECT_EQ(relations[5].channels, 3);
}

// Every tie must name the same flat indices on both sides.
TEST(Reshape, TiesNameTheSameElements) {
  const std::vector<std::pair<Dims, Ints>> cases = {
      {{2, 3, 4, 5}, {6, 20}}, {{6, 4}, {8, 3}}, {{24}, {2, 3, 4}}, {{1, 12, 1, 2}, {3, 1, 8}}, {{4, 6}, {3, 8}}};
  for (const auto& [from, to] : cases) {
    for (const AxisRelation& relation : relations_of("reshape", {iota(from), ints(to)})) {
      if (relation.kind != AxisRelation::Kind::kTie) continue;
      const auto digit_of = [&](const AxisRef& ref, const Dims& dims, int64_t flat) {
        int64_t place = 1;
        for (size_t axis = dims.size(); axis-- > ref.axis + 1;) place *= dims[axis];
        EXPECT_EQ(ref.outer * relation.channels * ref.inner, dims[ref.axis]);
        return flat / place % dims[ref.axis] / ref.inner % relation.channels;
      };
      for (int64_t flat = 0; flat < element_count(from); ++flat) {
        ASSERT_EQ(digit_of(relation.refs[0], from, flat), digit_of(relation.refs[1], to, flat));
      }
    }
  }
}

TEST(Flatten, Axes) {
  EXPECT_EQ(run_op("flatten", {iota({2, 3, 4})}).dims(), (Dims{2, 12}));
  EXPECT_EQ(run_op("flatten", {iota({2, 3, 4})}, {{"axis", int64_t{-1}}}).dims(), (Dims{6, 4}));
  EXPECT_EQ(run_op("flatten", {iota({2, 3})}, {{"axis", int64_t{2}}}).dims(), (Dims{6, 1}));
  EXPECT_EQ(run_op("flatten", {iota({})}, {{"axis", int64_t{0}}}).dims(), (Dims{1, 1}));
  EXPECT_EQ(infer_shape("flatten", {Shape({Dim::named("N"), 3, 2})}, {}), Shape({Dim::named("N"), 6}));
  EXPECT_ERROR(run_op("flatten", {iota({2, 3})}, {{"axis", int64_t{3}}}), "out of range");
}

TEST(Squeeze, RemovesOnesOnly) {
  EXPECT_EQ(run_op("squeeze", {iota({1, 3, 1})}).dims(), (Dims{3}));
  EXPECT_EQ(run_op("squeeze", {iota({1, 3, 1}), ints({-1})}).dims(), (Dims{1, 3}));
  EXPECT_ERROR(run_op("squeeze", {iota({1, 3, 1}), ints({1})}), "axis 1 of shape [1, 3, 1]");
  EXPECT_EQ(infer_shape("squeeze", {Shape({Dim::named("N"), 1})}, {}), Shape());
}

TEST(Unsqueeze, AxesCountInTheOutput) {
  EXPECT_EQ(run_op("unsqueeze", {iota({3, 4}), ints({-1, 0})}).dims(), (Dims{1, 3, 4, 1}));
  EXPECT_ERROR(run_op("unsqueeze", {iota({3}), ints({1, 1})}), "given twice");
  EXPECT_ERROR(run_op("unsqueeze", {iota({3}), ints({5})}), "out of range");
}

}  // namespace
}  // namespace amct::testing
