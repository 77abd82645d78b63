// What the samples of ONNX Runtime's operators cannot say: faulty nodes.
#include <random>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

Tensor int32s(const std::vector<int32_t>& values) {
  return Tensor::of<int32_t>({static_cast<int64_t>(values.size())}, values);
}

TEST(MultiHeadAttention, RefusesFaultyNodes) {
  const Attrs two{{"num_heads", int64_t{2}}};
  const Tensor q = iota({1, 3, 4}), none;
  EXPECT_ERROR(run_op("multi_head_attention", {q, q, q}, {{"num_heads", int64_t{0}}}), "0 heads");
  EXPECT_ERROR(run_op("multi_head_attention", {q, q, q}, {{"num_heads", int64_t{3}}}), "3 heads do not divide");
  EXPECT_ERROR(run_op("multi_head_attention", {q}, two), "its keys are missing");
  EXPECT_ERROR(run_op("multi_head_attention", {q, q}, two), "keys packed with values");
  EXPECT_ERROR(run_op("multi_head_attention", {q, iota({1, 2, 4}), q}, two), "do not fit queries");
  EXPECT_ERROR(run_op("multi_head_attention", {q, q, q, none, int32s({1, 1})}, two), "its key padding mask");
  EXPECT_ERROR(run_op("multi_head_attention", {q, q, q, none, none, iota({1, 2, 3, 4})}, two), "attention bias");
  EXPECT_ERROR(run_op("multi_head_attention", {q, q, q, none, none, none, iota({1, 2, 2, 2})}, two), "come together");
  EXPECT_ERROR(run_op("multi_head_attention", {iota({1, 3, 2, 2, 2})}, two), "its packed input");
}

TEST(MultiHeadAttention, PackedOperandsEqualSeparateOnes) {
  std::mt19937 random(5);
  const Tensor packed = uniform({2, 3, 2, 3, 4}, random);
  std::vector<Tensor> parts;
  for (int64_t part = 0; part < 3; ++part) {
    std::vector<float> values;
    for (int64_t i = 0; i < packed.size(); ++i) {
      if (i / 4 % 3 == part) values.push_back(packed.values<float>()[static_cast<size_t>(i)]);
    }
    parts.push_back(floats({2, 3, 8}, values));
  }
  const Attrs attrs{{"num_heads", int64_t{2}}};
  EXPECT_EQ(values_of<float>(run_op("multi_head_attention", {packed}, attrs)),
            values_of<float>(run_op("multi_head_attention", parts, attrs)));
}

TEST(GroupQueryAttention, RefusesFaultyNodes) {
  const Attrs heads{{"num_heads", int64_t{2}}, {"kv_num_heads", int64_t{1}}};
  const Tensor q = iota({1, 2, 4}), kv = iota({1, 2, 2}), past = iota({1, 1, 3, 2}), none;
  const auto run = [&](std::vector<Tensor> inputs, Attrs attrs) {
    return run_all("group_query_attention", inputs, std::move(attrs), 3);
  };
  EXPECT_ERROR(
      run({q, kv, kv, none, none, int32s({1}), int32s({2})}, {{"num_heads", int64_t{3}}, {"kv_num_heads", int64_t{2}}}),
      "2 heads of keys do not divide 3");
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1, 1}), int32s({2})}, heads), "[1] is needed");
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1}), int32s({1})}, heads), "a total length of 1");
  EXPECT_ERROR(run({q, kv, kv, past, past, int32s({7}), int32s({5})}, heads), "does not fit");
  EXPECT_ERROR(run({q, kv, kv, past, past, int32s({-9}), int32s({5})}, heads), "does not fit");
  EXPECT_ERROR(run({q, iota({1, 2, 3}), kv, none, none, int32s({1}), int32s({2})}, heads), "[1, 2, 2] is needed");
  Attrs rotary = heads;
  rotary.set("do_rotary", int64_t{1});
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1}), int32s({2})}, rotary), "tables of angles are missing");
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1}), int32s({})}, heads),
               "input 6 (total_sequence_length) has 0 elements; a single one is needed");
  const Tensor bias = iota({1, 2, 3, 2});
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1}), int32s({2}), none, none, none, bias}, heads), "attention bias");
  const Tensor table = iota({1, 1});
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1}), int32s({2}), iota({2, 1}), table}, rotary), "[2, 1] is needed");
  EXPECT_ERROR(run({q, kv, kv, none, none, int32s({1}), int32s({2}), table, table}, rotary),
               "no angles for position 1");
}

TEST(MatMulNBits, RefusesFaultyNodes) {
  const Tensor a = iota({2, 16}), w = iota({3, 1, 8}, DType::kUInt8), scales = iota({3, 1});
  const auto attrs = [](int64_t k, int64_t bits, int64_t block) {
    return Attrs{{"K", k}, {"N", int64_t{3}}, {"bits", bits}, {"block_size", block}};
  };
  EXPECT_EQ(run_op("matmul_nbits", {a, w, scales}, attrs(16, 4, 16)).dims(), (Dims{2, 3}));
  EXPECT_ERROR(run_op("matmul_nbits", {a, w, scales}, attrs(16, 3, 16)), "weights of 3 bits");
  EXPECT_ERROR(run_op("matmul_nbits", {a, w, scales}, attrs(16, 4, 24)), "blocks of 24");
  EXPECT_ERROR(run_op("matmul_nbits", {a, w, scales}, attrs(17, 4, 16)), "48 elements are needed");
  EXPECT_ERROR(run_op("matmul_nbits", {iota({2, 15}), w, scales}, attrs(16, 4, 16)), "16 columns are needed");
  EXPECT_ERROR(run_op("matmul_nbits", {a, w, scales, Tensor(), ints({0})}, attrs(16, 4, 16)), "g_idx");
  EXPECT_ERROR(run_op("matmul_nbits", {a, w, scales, iota({2}, DType::kUInt8)}, attrs(16, 4, 16)),
               "3 elements are needed");
}

}  // namespace
}  // namespace amct::testing
