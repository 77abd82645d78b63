#include <limits>
#include <random>

#include "ops/movement_support.h"
#include "support/graphs.h"

namespace amct::testing {
namespace {

Tensor index(Dims dims, const Ints& values) { return Tensor::of<int64_t>(std::move(dims), values); }

TEST(Gather, AnyAxisAndNegativeIndices) {
  const Tensor out = run_op("gather", {iota({2, 3, 2}), index({2, 1}, {2, -3})}, {{"axis", int64_t{1}}});
  EXPECT_EQ(out.dims(), (Dims{2, 2, 1, 2}));
  EXPECT_EQ(values_of<float>(out), (std::vector<float>{4, 5, 0, 1, 10, 11, 6, 7}));
  EXPECT_EQ(run_op("gather", {iota({3}), Tensor::scalar<int32_t>(-1)}).dims(), Dims{});
  EXPECT_EQ(infer_shape("gather", {Shape({Dim::named("N"), 4}), Shape::of({})}, {}, {{"axis", int64_t{1}}}),
            Shape({Dim::named("N")}));
  EXPECT_ERROR(run_op("gather", {iota({3}), index({1}, {3})}), "index 3 is out of range for an axis of 3");
  EXPECT_ERROR(run_op("gather", {iota({3}), index({1}, {-4})}), "index -4");
  EXPECT_ERROR(run_op("gather", {iota({3}), floats({1}, {0})}), "must be int32 or int64");
}

TEST(GatherElements, AgainstNaiveLoop) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    const Dims data{3, 4, 5};
    const size_t axis = round % 3;
    Dims dims{1 + static_cast<int64_t>(random() % 3), 1 + static_cast<int64_t>(random() % 4),
              1 + static_cast<int64_t>(random() % 5)};
    if (round % 2 == 0) dims[axis] = 7;
    Ints values(static_cast<size_t>(element_count(dims)));
    for (int64_t& value : values) value = static_cast<int64_t>(random() % data[axis]);
    const Tensor out = run_op("gather_elements", {iota(data), index(dims, values)}, {{"axis", int64_t(axis)}});
    size_t at = 0;
    for (int64_t i = 0; i < dims[0]; ++i) {
      for (int64_t j = 0; j < dims[1]; ++j) {
        for (int64_t k = 0; k < dims[2]; ++k, ++at) {
          int64_t p[3] = {i, j, k};
          p[axis] = values[at];
          ASSERT_EQ(out.values<float>()[at], static_cast<float>((p[0] * 4 + p[1]) * 5 + p[2]));
        }
      }
    }
  }
  EXPECT_ERROR(run_op("gather_elements", {iota({2, 2}), index({2, 3}, {0, 0, 0, 0, 0, 0})}), "exceed data");
  EXPECT_ERROR(run_op("gather_elements", {iota({2, 2}), index({2}, {0, 0})}), "do not fit data");
}

TEST(GatherNd, BlocksElementsAndBatches) {
  EXPECT_EQ(values_of<float>(run_op("gather_nd", {iota({2, 2}), index({2, 2}, {0, 0, 1, -1})})),
            (std::vector<float>{0, 3}));
  EXPECT_EQ(values_of<float>(run_op("gather_nd", {iota({2, 2}), index({1, 1}, {-1})})), (std::vector<float>{2, 3}));
  const Tensor batched = run_op("gather_nd", {iota({2, 2, 2}), index({2, 1}, {1, 0})}, {{"batch_dims", int64_t{1}}});
  EXPECT_EQ(batched.dims(), (Dims{2, 2}));
  EXPECT_EQ(values_of<float>(batched), (std::vector<float>{2, 3, 4, 5}));
  EXPECT_ERROR(run_op("gather_nd", {iota({2, 2}), index({1, 3}, {0, 0, 0})}), "name 3 axes");
  EXPECT_ERROR(run_op("gather_nd", {iota({2, 2}), index({1, 1}, {2})}), "index 2 is out of range");
  EXPECT_ERROR(run_op("gather_nd", {iota({2, 2}), index({3, 1}, {0, 0, 0})}, {{"batch_dims", int64_t{1}}}),
               "batch axis");
}

TEST(ScatterElements, Reductions) {  // numbers from onnx's reference implementation
  const Tensor data = floats({1, 5}, {1, 2, 3, 4, 5});
  const Tensor at = index({1, 3}, {1, 3, 1});
  const Tensor updates = floats({1, 3}, {1.5f, 10, 4});
  const auto scatter = [&](const char* reduction) {
    return values_of<float>(
        run_op("scatter_elements", {data, at, updates}, {{"axis", int64_t{1}}, {"reduction", std::string(reduction)}}));
  };
  EXPECT_EQ(scatter("none"), (std::vector<float>{1, 4, 3, 10, 5}));
  EXPECT_EQ(scatter("add"), (std::vector<float>{1, 7.5f, 3, 14, 5}));
  EXPECT_EQ(scatter("mul"), (std::vector<float>{1, 12, 3, 40, 5}));
  EXPECT_EQ(scatter("max"), (std::vector<float>{1, 4, 3, 10, 5}));
  EXPECT_EQ(scatter("min"), (std::vector<float>{1, 1.5f, 3, 4, 5}));
  EXPECT_ERROR(scatter("sum"), "reduction 'sum' is unknown");
  EXPECT_ERROR(run_op("scatter_elements", {data, index({1, 1}, {5}), floats({1, 1}, {0})}, {{"axis", int64_t{1}}}),
               "index 5");
  EXPECT_ERROR(run_op("scatter_elements", {data, at, floats({1, 2}, {0, 0})}), "differ");
}

TEST(ScatterElements, UndoesGatherElements) {
  const Tensor data = iota({3, 4});
  const Tensor at = index({3, 4}, {2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1});
  const Tensor picked = run_op("gather_elements", {data, at});
  EXPECT_TRUE(run_op("scatter_elements", {floats({3, 4}, std::vector<float>(12, 0)), at, picked}).same_bytes(data));
}

TEST(ScatterNd, Blocks) {
  const Attrs add{{"reduction", std::string("add")}};
  const Tensor updates = floats({2, 2}, {10, 20, 30, 40});
  EXPECT_EQ(values_of<float>(run_op("scatter_nd", {iota({3, 2}), index({2, 1}, {2, 2}), updates}, add)),
            (std::vector<float>{0, 1, 2, 3, 44, 65}));
  EXPECT_EQ(values_of<float>(run_op("scatter_nd", {iota({3, 2}), index({2, 1}, {-1, 0}), updates})),
            (std::vector<float>{30, 40, 2, 3, 10, 20}));
  EXPECT_ERROR(run_op("scatter_nd", {iota({3, 2}), index({2, 1}, {0, 1}), floats({2}, {0, 0})}), "do not fit data");
}

TEST(Shape, ReportsARange) {
  EXPECT_EQ(values_of<int64_t>(run_op("shape", {iota({2, 3, 4})})), (Ints{2, 3, 4}));
  EXPECT_EQ(values_of<int64_t>(run_op("shape", {iota({2, 3, 4})}, {{"start", int64_t{-2}}, {"end", int64_t{-1}}})),
            (Ints{3}));
  EXPECT_EQ(run_op("shape", {iota({2, 3})}, {{"start", int64_t{2}}, {"end", int64_t{1}}}).dims(), (Dims{0}));
  EXPECT_EQ(values_of<int64_t>(run_op("size", {iota({2, 3, 4})})), (Ints{24}));
}

TEST(Shape, ComputationsFoldThroughSymbolicShapes) {
  Graph graph;
  const ValueId in = graph.add_input("x", {DType::kFloat32, Shape({Dim::named("N"), 3, 4, 5})});
  const ValueId shape = op(graph, "s", "shape", {in}, {{"start", int64_t{1}}});
  const ValueId two = graph.add_constant("two", ints({0, 2}));
  const ValueId picked = op(graph, "g", "gather", {shape, two});
  const ValueId rest = graph.add_constant("rest", ints({-1}));
  const ValueId target = op(graph, "c", "concat", {rest, picked}, {{"axis", int64_t{0}}});
  const ValueId out = op(graph, "r", "reshape", {in, target});
  graph.set_outputs({out});
  EXPECT_EQ(infer_types(graph).types[out.index].shape, Shape({Dim(), 3, 5}));
}

TEST(Fill, ConstantOfShapeRangeOneHotTrilu) {
  const Tensor sevens = run_op("constant_of_shape", {ints({2, 2})}, {{"value", Tensor::of<int8_t>({1}, {7})}});
  EXPECT_EQ(values_of<int8_t>(sevens), (std::vector<int8_t>{7, 7, 7, 7}));
  EXPECT_EQ(values_of<float>(run_op("constant_of_shape", {ints({})})), (std::vector<float>{0}));
  EXPECT_ERROR(run_op("constant_of_shape", {ints({-1})}), "negative extent");
  const auto range = [](int64_t a, int64_t b, int64_t c) {
    return run_op("range", {Tensor::scalar(a), Tensor::scalar(b), Tensor::scalar(c)}).to_int64s();
  };
  EXPECT_EQ(range(10, 4, -4), (Ints{10, 6}));
  EXPECT_EQ(range(0, 5, 2), (Ints{0, 2, 4}));
  EXPECT_EQ(range(3, 3, 1), Ints{});
  EXPECT_ERROR(range(0, 5, 0), "delta of 0");
  EXPECT_ERROR(range(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), 1), "too many");
  EXPECT_EQ(
      values_of<float>(run_op("one_hot", {index({3}, {0, -1, 3}), Tensor::scalar<int64_t>(3), floats({2}, {5, 9})},
                              {{"axis", int64_t{0}}})),
      (std::vector<float>{9, 5, 5, 5, 5, 5, 5, 9, 5}));
  const auto trilu = [](int64_t upper, int64_t k) {
    return run_op("trilu", {iota({3, 3}), Tensor::scalar(k)}, {{"upper", upper}}).to_int64s();
  };
  EXPECT_EQ(trilu(1, 1), (Ints{0, 1, 2, 0, 0, 5, 0, 0, 0}));
  EXPECT_EQ(trilu(0, 0), (Ints{0, 0, 0, 3, 4, 0, 6, 7, 8}));
  EXPECT_EQ(trilu(1, std::numeric_limits<int64_t>::min()), (Ints{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(trilu(0, std::numeric_limits<int64_t>::max()), (Ints{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

}  // namespace
}  // namespace amct::testing
