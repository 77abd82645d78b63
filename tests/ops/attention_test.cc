// What the samples of attention and rotary embeddings cannot say: faulty nodes, rows that see nothing, blocks of rows,
// threads, and the compiled step against the plain kernel on random problems.
#include <cmath>
#include <limits>
#include <random>

#include "exec/session.h"
#include "ops/movement_support.h"

namespace amct::testing {
namespace {

const Attrs kTwoHeads{{"q_num_heads", int64_t{2}}, {"kv_num_heads", int64_t{2}}};

TEST(Attention, RowsThatSeeNothingAreZero) {
  const Tensor q = iota({1, 1, 2, 2}), v = floats({1, 1, 2, 1}, {3, 5});
  const Tensor mask = Tensor::copy_of(DType::kBool, {2, 2}, std::as_bytes(std::span("\0\0\1\0").first(4)));
  const std::vector<Tensor> outputs = run_all("attention", {q, q, v, mask}, {{"qk_matmul_output_mode", int64_t{3}}}, 4);
  EXPECT_EQ(values_of<float>(outputs[0]), (std::vector<float>{0, 3}));
  EXPECT_EQ(values_of<float>(outputs[3]), (std::vector<float>{0, 0, 1, 0}));
}

TEST(Attention, ShorterMaskHidesTheRest) {
  const Tensor q = iota({1, 1, 1, 1}), k = floats({1, 1, 3, 1}, {0, 0, 0}), v = floats({1, 1, 3, 1}, {1, 3, 100});
  EXPECT_EQ(values_of<float>(run_op("attention", {q, k, v, floats({1, 2}, {0, 0})})), (std::vector<float>{2}));
}

TEST(Attention, KeyCountsAndWindows) {
  const Tensor q = floats({2, 1, 2, 1}, {0, 0, 0, 0}), k = floats({2, 1, 3, 1}, std::vector<float>(6, 0));
  const Tensor v = floats({2, 1, 3, 1}, {1, 2, 6, 1, 2, 6});
  const Tensor counts = ints({2, 3});
  const auto run = [&](Attrs attrs) {
    return values_of<float>(run_op("attention", {q, k, v, Tensor(), Tensor(), Tensor(), counts}, std::move(attrs)));
  };
  EXPECT_EQ(run({}), (std::vector<float>{1.5f, 1.5f, 3, 3}));
  EXPECT_EQ(run({{"is_causal", int64_t{1}}}), (std::vector<float>{1, 1.5f, 1.5f, 3}));
  EXPECT_EQ(run({{"left_window_size", int64_t{0}}, {"right_window_size", int64_t{0}}}),
            (std::vector<float>{1, 2, 2, 6}));
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(run({{"left_window_size", most}, {"right_window_size", most}}), run({}));
  EXPECT_EQ(run({{"left_window_size", most}, {"right_window_size", int64_t{0}}}), run({{"is_causal", int64_t{1}}}));
}

TEST(Attention, RefusesFaultyNodes) {
  const Tensor x = iota({1, 3, 4});
  EXPECT_ERROR(run_op("attention", {x, x, x}), "need the attributes 'q_num_heads'");
  EXPECT_ERROR(run_op("attention", {iota({1, 3, 5}), x, x}, kTwoHeads), "2 heads do not divide 5");
  EXPECT_ERROR(run_op("attention", {x, iota({2, 3, 4}), x}, kTwoHeads), "batches differ");
  EXPECT_ERROR(run_op("attention", {x, iota({1, 2, 4}), x}, kTwoHeads), "tokens of keys and values differ");
  EXPECT_ERROR(run_op("attention", {iota({1, 3, 2, 4}), iota({1, 2, 2, 4}), iota({1, 2, 2, 4})}),
               "2 heads of keys do not divide 3");
  EXPECT_ERROR(run_op("attention", {x, x, x, floats({2, 2}, {0, 0, 0, 0})}, kTwoHeads), "does not broadcast");
  EXPECT_ERROR(run_op("attention", {x, x, x, ints({0, 0, 0})}, kTwoHeads), "no bool or float");
  EXPECT_ERROR(run_op("attention", {x, x, x, Tensor(), iota({1, 2, 1, 2})}, kTwoHeads), "come together");
  EXPECT_ERROR(run_op("attention", {x, x, x, Tensor(), iota({1, 2, 1, 3}), iota({1, 2, 1, 2})}, kTwoHeads),
               "widths of earlier");
  Attrs attrs = kTwoHeads;
  attrs.set("qk_matmul_output_mode", int64_t{4});
  EXPECT_ERROR(run_op("attention", {x, x, x}, attrs), "0 to 3 are known");
  EXPECT_ERROR(run_op("attention", {ints({1}), x, x}, kTwoHeads), "int64");
}

// A graph whose inputs are all fed.
std::vector<Tensor> compiled(std::string_view op, const std::vector<Tensor>& inputs, const Attrs& attrs, size_t outputs,
                             int threads) {
  Graph graph;
  std::vector<ValueId> values;
  std::vector<Tensor> feeds;
  for (const Tensor& input : inputs) {
    values.push_back(input ? graph.add_input("x" + std::to_string(values.size()), input.type()) : kNoValue);
    if (input) feeds.push_back(input);
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < outputs; ++i) names.push_back("y" + std::to_string(i));
  const NodeId id = graph.add_node("node", op, &op_table().get(op), values, names, attrs);
  graph.set_outputs(graph.node(id).outputs);
  Session session(std::move(graph), CompileOptions{.threads = threads});
  return session.run(feeds);
}

TEST(Attention, CompiledAgreesOnRandomProblems) {
  for (uint32_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(random() % (high - low + 1));
    };
    const int64_t batch = pick(1, 3), kv_heads = pick(1, 3), heads = kv_heads * pick(1, 4), queries = pick(1, 70);
    const int64_t past = pick(0, 1) * pick(1, 9), fresh = pick(1, 60), width = pick(1, 20), values = pick(1, 20);
    std::vector<Tensor> inputs = {uniform({batch, heads, queries, width}, random),
                                  uniform({batch, kv_heads, fresh, width}, random),
                                  uniform({batch, kv_heads, fresh, values}, random),
                                  Tensor(),
                                  Tensor(),
                                  Tensor()};
    if (pick(0, 1) == 1) inputs[3] = uniform({heads, queries, past + fresh}, random);
    if (past > 0) inputs[4] = uniform({batch, kv_heads, past, width}, random);
    if (past > 0) inputs[5] = uniform({batch, kv_heads, past, values}, random);
    const Attrs attrs{{"is_causal", pick(0, 1)}, {"softcap", static_cast<double>(pick(0, 1))}};
    const std::vector<Tensor> expected = run_all("attention", inputs, attrs, 4);
    const std::vector<Tensor> actual = compiled("attention", inputs, attrs, 4, static_cast<int>(pick(1, 3)));
    for (size_t port = 0; port < 4; ++port) {
      const std::vector<double> a = actual[port].to_doubles(), b = expected[port].to_doubles();
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5) << "output " << port << " element " << i;
    }
  }
}

TEST(RotaryEmbedding, OnePositionStandsForTheFirstToken) {
  const Tensor x = iota({1, 1, 2, 2}), cosine = floats({4, 1}, {9, 9, 1, 0}), sine = floats({4, 1}, {9, 9, 0, 1});
  EXPECT_EQ(values_of<float>(run_op("rotary_embedding", {x, cosine, sine, ints({2})})),
            (std::vector<float>{0, 1, -3, 2}));
}

TEST(RotaryEmbedding, RefusesFaultyNodes) {
  const Tensor x = iota({1, 2, 4}), table = iota({5, 2}), positions = Tensor::of<int64_t>({1, 2}, {0, 5});
  const Attrs attrs{{"num_heads", int64_t{1}}};
  EXPECT_ERROR(run_op("rotary_embedding", {x, table, table, positions}, attrs), "position 5 is outside");
  EXPECT_ERROR(run_op("rotary_embedding", {x, table, table, positions}), "'num_heads'");
  EXPECT_ERROR(run_op("rotary_embedding", {x, table, table}, attrs), "no 2 angles");
  EXPECT_ERROR(run_op("rotary_embedding", {x, table, table, ints({0, 1, 2})}, attrs), "its positions have shape");
  EXPECT_ERROR(run_op("rotary_embedding", {x, table, iota({4, 2}), positions}, attrs), "its tables have shapes");
  EXPECT_ERROR(run_op("rotary_embedding", {iota({1, 1, 2, 3}), table, table, positions}), "3 of 3 elements");
}

}  // namespace
}  // namespace amct::testing
