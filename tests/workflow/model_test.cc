// How samples go into inputs whose first axes agree, and into those that have no axis of samples.
#include "workflow/model.h"

#include <gtest/gtest.h>

namespace amct::testing {
namespace {

Graph graph_of(const std::vector<Shape>& inputs) {
  Graph graph;
  for (const Shape& shape : inputs) graph.add_input("in", {DType::kFloat32, shape});
  return graph;
}

Shape open(std::vector<Dim> rest) {
  rest.insert(rest.begin(), Dim::named("N"));
  return Shape(std::move(rest));
}

TEST(Batching, RowsAreTheFirstExtentThatAllShare) {
  EXPECT_EQ(batching_of(graph_of({Shape::of({1, 5})})).rows, 1u);
  EXPECT_EQ(batching_of(graph_of({Shape::of({4, 5}), Shape::of({4, 2, 3})})).rows, 4u);
  EXPECT_EQ(batching_of(graph_of({open({Dim(5)}), open({Dim(3)})})).rows, 1u);
  EXPECT_EQ(batching_of(graph_of({})).rows, 1u);
  for (const bool whole : batching_of(graph_of({Shape::of({4, 5}), Shape::of({4, 2, 3})})).whole) EXPECT_FALSE(whole);
}

TEST(Batching, AStateWithAnAxisOfLayersIsPartOfTheSample) {
  for (const Shape& frames : {Shape::of({1, 576}), open({Dim(576)})}) {
    for (const bool state_first : {false, true}) {
      const Shape state = Shape::of({2, 1, 128});
      const Graph graph = state_first ? graph_of({state, frames}) : graph_of({frames, state});
      const Batching batching = batching_of(graph);
      EXPECT_EQ(batching.rows, 1u);
      EXPECT_EQ(batching.whole[state_first ? 0 : 1], true);
      EXPECT_EQ(batching.whole[state_first ? 1 : 0], false);
      EXPECT_EQ(input_specs(graph)[state_first ? 0 : 1].dims, (std::vector<Dim>{1, 2, 1, 128}));
    }
  }
}

TEST(Batching, ScalarsHaveNoAxisOfSamples) {
  const Graph graph = graph_of({Shape::of({3, 7}), Shape::of({})});
  EXPECT_EQ(batching_of(graph).rows, 3u);
  EXPECT_EQ(batching_of(graph).whole, (std::vector<bool>{false, true}));
  EXPECT_EQ(input_specs(graph)[1].dims, (std::vector<Dim>{1}));
}

}  // namespace
}  // namespace amct::testing
