// The plans of Einsum: what is copied, what is refused. Numbers are compared with ONNX Runtime on the samples.
#include "ops/einsum.h"

#include <algorithm>
#include <random>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

using Kind = EinsumStep::Kind;

std::vector<Kind> steps_of(const char* equation, const std::vector<Dims>& inputs) {
  std::vector<size_t> ranks;
  for (const Dims& dims : inputs) ranks.push_back(dims.size());
  std::vector<Kind> kinds;
  for (const EinsumStep& step : plan_einsum(read_einsum(equation, ranks), inputs, true).steps)
    kinds.push_back(step.kind);
  return kinds;
}

TEST(EinsumPlan, AttentionNeedsNoCopyWhereMemoryIsABatchOfMatrices) {
  EXPECT_EQ(steps_of("bhqd,bhkd->bhqk", {{2, 3, 5, 7}, {2, 3, 4, 7}}), (std::vector{Kind::kProduct}));
  EXPECT_EQ(steps_of("bhqk,bhkd->bhqd", {{2, 3, 5, 4}, {2, 3, 4, 7}}), (std::vector{Kind::kProduct}));
  EXPECT_EQ(steps_of("ik,jk->ji", {{3, 5}, {4, 5}}), (std::vector{Kind::kProduct}));
  EXPECT_EQ(steps_of("bqhd,bkhd->bhqk", {{2, 5, 3, 7}, {2, 4, 3, 7}}),
            (std::vector{Kind::kCopy, Kind::kCopy, Kind::kProduct}));
}

TEST(EinsumPlan, SumsBeforeItMultiplies) {
  EXPECT_EQ(steps_of("abi,cib->ca", {{3, 2, 5}, {4, 5, 2}}).back(), Kind::kProduct);
  EXPECT_EQ(steps_of("ij,kl->ik", {{3, 5}, {4, 6}}), (std::vector{Kind::kSum, Kind::kSum, Kind::kProduct}));
  EXPECT_EQ(steps_of("ij,jk->ik", {{3, 0}, {0, 2}}), (std::vector{Kind::kZero}));
}

Tensor einsum(const char* equation, const std::vector<Tensor>& inputs) {
  return run_op("einsum", inputs, {{"equation", std::string(equation)}});
}

TEST(Einsum, RefusesFaultyEquations) {
  const Tensor a = iota({2, 3}), b = iota({3, 4});
  EXPECT_ERROR(einsum("ij,jk->ik", {a}), "2 terms for 1 operands");
  EXPECT_ERROR(einsum("ij->k", {a}), "k in its result alone");
  EXPECT_ERROR(einsum("ij->ii", {a}), "repeats i");
  EXPECT_ERROR(einsum("i1->i", {a}), "'1'");
  EXPECT_ERROR(einsum("i......->i", {a}), "'.'");
  EXPECT_ERROR(einsum("ij-k", {a}), "'-'");
  EXPECT_ERROR(einsum("ijk->k", {a}), "does not fit an operand of rank 2");
  EXPECT_ERROR(einsum("ijk...->k", {a}), "does not fit an operand of rank 2");
  EXPECT_ERROR(einsum("i...->i", {a}), "no '...' in its result");
  EXPECT_ERROR(einsum("ij,ik->jk", {a, b}), "does not fit the equation");
  EXPECT_ERROR(einsum("ii->i", {floats({1, 3}, {1, 2, 3})}), "diagonal");
  EXPECT_ERROR(einsum("ij,jk->ik", {a, b.cast(DType::kFloat64)}), "float64");
  EXPECT_ERROR(einsum("ij->i", {a.cast(DType::kBool)}), "bool");
}

TEST(Einsum, EllipsesBroadcastAsMatmulDoes) {  // which ONNX Runtime refuses
  std::mt19937 random(5);
  const std::vector<Tensor> inputs = {uniform({3, 1, 2, 5}, random), uniform({4, 5, 3}, random)};
  const Tensor product = run_op("matmul", inputs);
  EXPECT_TRUE(einsum("...ij,...jk->...ik", inputs).same_bytes(product));
  EXPECT_TRUE(einsum("...ij,...jk", inputs).same_bytes(product));
}

TEST(Einsum, IntegersWrapAndHalvesSumInDouble) {
  const Tensor bytes = Tensor::of<uint8_t>({3}, {200, 100, 7});
  EXPECT_EQ(values_of<uint8_t>(einsum("i,i->", {bytes, bytes}))[0], static_cast<uint8_t>(40000 + 10000 + 49));
  Tensor ones = Tensor::allocate(DType::kFloat32, {4096});
  std::fill_n(ones.mutable_values<float>().begin(), 4096, 1.0f);
  const Tensor halves = ones.cast(DType::kFloat16);
  EXPECT_EQ(einsum("i,i->", {halves, halves}).to_doubles()[0], 4096) << "a sum in 16 bits stops at 2048";
}

TEST(Dft, RefusesWhatItCannotTransform) {
  const Tensor x = iota({2, 8, 1});
  EXPECT_ERROR(run_op("dft", {iota({4})}), "no axis besides");
  EXPECT_ERROR(run_op("dft", {iota({2, 8, 3})}), "3 parts");
  EXPECT_ERROR(run_op("dft", {x, {}, Tensor::scalar<int64_t>(2)}), "parts of complex numbers");
  EXPECT_ERROR(run_op("dft", {x, {}, Tensor::scalar<int64_t>(3)}), "out of range");
  EXPECT_ERROR(run_op("dft", {x, Tensor::scalar<int64_t>(0)}), "dft_length");
  EXPECT_ERROR(run_op("dft", {iota({2, 8, 2})}, {{"onesided", int64_t{1}}}), "real input");
  EXPECT_ERROR(run_op("dft", {x}, {{"onesided", int64_t{1}}, {"inverse", int64_t{1}}}), "cannot be one-sided");
  EXPECT_ERROR(run_op("dft", {iota({2, 8, 1}, DType::kInt32)}), "int32");
}

TEST(Dft, InverseUndoesEveryLength) {
  std::mt19937 random(7);
  for (int64_t n = 1; n <= 40; ++n) {
    const Tensor x = uniform({n, 2}, random).cast(DType::kFloat64);
    const Tensor back = run_op("dft", {run_op("dft", {x})}, {{"inverse", int64_t{1}}});
    for (size_t i = 0; i < static_cast<size_t>(2 * n); ++i) {
      EXPECT_NEAR(back.to_doubles()[i], x.to_doubles()[i], 1e-13) << "length " << n;
    }
  }
}

TEST(Stft, RefusesFramesThatDoNotFit) {
  const Tensor x = iota({1, 10, 1});
  const Tensor step = Tensor::scalar<int64_t>(2);
  EXPECT_ERROR(run_op("stft", {x, step, {}, Tensor::scalar<int64_t>(11)}), "do not fit a signal of 10");
  EXPECT_ERROR(run_op("stft", {x, Tensor::scalar<int64_t>(0), iota({4})}), "frame_step");
  EXPECT_ERROR(run_op("stft", {x, step, iota({4}), Tensor::scalar<int64_t>(5)}), "does not fit frames of 5");
  EXPECT_ERROR(run_op("stft", {x, step, iota({4}, DType::kFloat64)}), "the window is float64");
  EXPECT_ERROR(run_op("stft", {iota({10}), step, iota({4})}), "is not (samples");
  EXPECT_EQ(run_op("stft", {iota({3, 10}), step, iota({4})}).dims(), (Dims{3, 4, 3, 2}));
}

}  // namespace
}  // namespace amct::testing
