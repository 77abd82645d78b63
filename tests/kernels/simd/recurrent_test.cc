// One step of every cell against plain loops in double, for every instruction set that this processor has.
#include "kernels/simd/recurrent.h"

#include <gtest/gtest.h>

#include <hwy/targets.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "support/values.h"

namespace amct::testing {
namespace {

using Floats = std::vector<float>;

class RecurrentKernel : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

Floats draw(std::mt19937& random, int64_t count, float bound) {
  return uniform_values(static_cast<size_t>(count), random, -bound, bound);
}

double apply(const GateFunction& f, double x) {
  const double alpha = f.alpha, beta = f.beta;
  switch (f.kind) {
    case GateKind::kSigmoid: return 1 / (1 + std::exp(-x));
    case GateKind::kTanh: return std::tanh(x);
    case GateKind::kRelu: return std::max(x, 0.0);
    case GateKind::kAffine: return alpha * x + beta;
    case GateKind::kLeakyRelu: return x < 0 ? alpha * x : x;
    case GateKind::kThresholdedRelu: return x > alpha ? x : 0;
    case GateKind::kScaledTanh: return alpha * std::tanh(beta * x);
    case GateKind::kHardSigmoid: return std::min(std::max(alpha * x + beta, 0.0), 1.0);
    case GateKind::kElu: return x < 0 ? alpha * (std::exp(x) - 1) : x;
    case GateKind::kSoftsign: return x / (1 + std::abs(x));
    case GateKind::kSoftplus: return std::log(1 + std::exp(x));
  }
  return x;
}

// A layer of random weights with the row-major originals of what it packs.
struct Layer {
  RecurrentWeights w;
  Floats r, bias_new, peephole;
};

Tensor pack(const float* rows, int64_t hidden, int64_t depth, int64_t gates) {
  const int64_t vector = gates * recurrent_lanes();
  Tensor packed = Tensor::allocate(DType::kFloat32, {recurrent_padded(hidden) * gates * depth});
  pack_recurrent_rows(rows, hidden, depth, gates, vector, depth * vector, packed.mutable_values<float>().data());
  return packed;
}

Layer make_layer(std::mt19937& random, RecurrentCell cell, int64_t hidden, bool variant) {
  const int64_t gates = cell == RecurrentCell::kRnn ? 1 : cell == RecurrentCell::kGru ? 3 : 4;
  Layer layer{.w = {.cell = cell, .gates = gates, .hidden = hidden, .clip = std::numeric_limits<float>::infinity()}};
  layer.w.f.kind = cell == RecurrentCell::kRnn ? GateKind::kTanh : GateKind::kSigmoid;
  layer.w.linear_before_reset = variant && cell == RecurrentCell::kGru;
  layer.w.input_forget = variant && cell == RecurrentCell::kLstm;
  if (variant) layer.w.clip = 0.75f;
  layer.r = draw(random, gates * hidden * hidden, 0.5f);
  layer.w.r = pack(layer.r.data(), hidden, hidden, has_second_pass(layer.w) ? 2 : gates);
  if (has_second_pass(layer.w)) layer.w.r_new = pack(layer.r.data() + 2 * hidden * hidden, hidden, hidden, 1);
  layer.bias_new = draw(random, hidden, 1);
  if (layer.w.linear_before_reset) layer.w.bias_new = pack(layer.bias_new.data(), hidden, 1, 1);
  layer.peephole = draw(random, 3 * hidden, 1);
  if (cell == RecurrentCell::kLstm && variant) layer.w.peephole = pack(layer.peephole.data(), hidden, 1, 3);
  return layer;
}

// The step in double; `x` (gates, hidden), updates c.
std::vector<double> reference(const Layer& layer, const float* x, const float* h, std::vector<double>& c) {
  const RecurrentWeights& w = layer.w;
  const auto n = static_cast<size_t>(w.hidden);
  const auto product = [&](size_t gate, size_t unit, auto&& state) {
    double sum = 0;
    for (size_t k = 0; k < n; ++k) sum += double{layer.r[(gate * n + unit) * n + k]} * state(k);
    return sum;
  };
  const auto of_h = [&](size_t k) { return double{h[k]}; };
  const auto clipped = [&](double v) { return std::clamp<double>(v, -w.clip, w.clip); };
  const auto f = [&](size_t gate, size_t u, double more = 0) {
    return apply(w.f, clipped(x[gate * n + u] + product(gate, u, of_h) + more));
  };
  const auto peep = [&](size_t part, size_t u) { return w.peephole ? layer.peephole[part * n + u] * c[u] : 0.0; };
  std::vector<double> next(n), reset(n);
  for (size_t u = 0; u < n && w.cell == RecurrentCell::kGru; ++u) reset[u] = f(1, u) * h[u];
  for (size_t u = 0; u < n; ++u) {
    if (w.cell == RecurrentCell::kRnn) {
      next[u] = f(0, u);
    } else if (w.cell == RecurrentCell::kGru) {
      const double state = w.linear_before_reset ? f(1, u) * (product(2, u, of_h) + layer.bias_new[u])
                                                 : product(2, u, [&](size_t k) { return reset[k]; });
      next[u] = (1 - f(0, u)) * apply(w.g, clipped(x[2 * n + u] + state)) + f(0, u) * h[u];
    } else {
      const double input = f(0, u, peep(0, u));
      const double forget = w.input_forget ? 1 - input : f(2, u, peep(2, u));
      c[u] = forget * c[u] + input * apply(w.g, clipped(x[3 * n + u] + product(3, u, of_h)));
      next[u] = f(1, u, peep(1, u)) * apply(w.h, c[u]);
    }
  }
  return next;
}

void expect_step(const Layer& layer, int64_t rows, std::mt19937& random) {
  const int64_t hidden = layer.w.hidden, padded = recurrent_padded(hidden), gates = layer.w.gates;
  const int64_t h_stride = hidden + 3, next_stride = hidden + 2, x_stride = gates * padded + 5;
  const Floats inputs = draw(random, rows * gates * hidden, 2), h = draw(random, rows * h_stride, 1);
  const Floats start = draw(random, rows * padded, 1);
  Floats x(static_cast<size_t>(rows * x_stride)), next(static_cast<size_t>(rows * next_stride), 99.0f), c = start;
  Floats scratch(static_cast<size_t>(2 * rows * padded));
  for (int64_t row = 0; row < rows; ++row) {
    pack_recurrent_rows(inputs.data() + row * gates * hidden, hidden, 1, gates, 1, gates * recurrent_lanes(),
                        x.data() + row * x_stride);
  }
  const RecurrentStep step{.rows = rows,
                           .padded = padded,
                           .x = x.data(),
                           .x_stride = x_stride,
                           .h = h.data(),
                           .h_stride = h_stride,
                           .h_next = next.data(),
                           .next_stride = next_stride,
                           .c = c.data(),
                           .gates = scratch.data()};
  // In two parts, as two threads take them.
  const int64_t blocks = padded / recurrent_lanes();
  for (const auto& [first, last] : {std::pair(blocks / 2, blocks), std::pair(int64_t{0}, blocks / 2)}) {
    recurrent_step(layer.w, step, first, last);
  }
  if (has_second_pass(layer.w)) recurrent_second_pass(layer.w, step, 0, blocks);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> state(start.begin() + row * padded, start.begin() + row * padded + hidden);
    const auto expected = reference(layer, inputs.data() + row * gates * hidden, h.data() + row * h_stride, state);
    for (int64_t u = 0; u < hidden; ++u) {
      ASSERT_NEAR(next[static_cast<size_t>(row * next_stride + u)], expected[static_cast<size_t>(u)], 3e-6)
          << row << " " << u;
      if (layer.w.cell != RecurrentCell::kLstm) continue;
      ASSERT_NEAR(c[static_cast<size_t>(row * padded + u)], state[static_cast<size_t>(u)], 3e-6) << row << " " << u;
    }
    EXPECT_EQ(next[static_cast<size_t>(row * next_stride + hidden)], 99.0f) << "written past the row";
  }
}

TEST_P(RecurrentKernel, EveryCellMatchesPlainLoops) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const RecurrentCell cell : {RecurrentCell::kRnn, RecurrentCell::kGru, RecurrentCell::kLstm}) {
    for (const bool variant : {false, true}) {
      for (const int64_t hidden : {1, 7, 16, 33, 150}) {
        const Layer layer = make_layer(random, cell, hidden, variant);
        for (const int64_t rows : {1, 2, 4, 7}) {
          SCOPED_TRACE(::testing::Message() << static_cast<int>(cell) << (variant ? " variant, " : ", ") << hidden
                                            << " units, " << rows << " rows");
          expect_step(layer, rows, random);
        }
      }
    }
  }
}

// With recurrent weights of zero, the plain cell is its function.
TEST_P(RecurrentKernel, EveryFunctionIsAccurate) {
  const int64_t hidden = 173, padded = recurrent_padded(hidden);
  Floats x(static_cast<size_t>(padded)), next(static_cast<size_t>(hidden));
  for (int64_t i = 0; i < hidden; ++i) x[static_cast<size_t>(i)] = 0.11f * static_cast<float>(i - 86);
  const Floats h(static_cast<size_t>(hidden)), zero(static_cast<size_t>(hidden * hidden));
  for (const auto& function :
       {GateFunction{GateKind::kSigmoid}, GateFunction{GateKind::kTanh}, GateFunction{GateKind::kRelu},
        GateFunction{GateKind::kAffine, 0.5f, -0.25f}, GateFunction{GateKind::kLeakyRelu, 0.1f},
        GateFunction{GateKind::kThresholdedRelu, 0.9f}, GateFunction{GateKind::kScaledTanh, 1.5f, 0.3f},
        GateFunction{GateKind::kHardSigmoid, 0.2f, 0.5f}, GateFunction{GateKind::kElu, 0.7f},
        GateFunction{GateKind::kSoftsign}, GateFunction{GateKind::kSoftplus}}) {
    RecurrentWeights w{.cell = RecurrentCell::kRnn, .hidden = hidden, .clip = std::numeric_limits<float>::infinity()};
    w.f = function;
    w.r = pack(zero.data(), hidden, hidden, 1);
    recurrent_step(w, {.padded = padded, .x = x.data(), .h = h.data(), .h_next = next.data()}, 0,
                   padded / recurrent_lanes());
    for (size_t i = 0; i < next.size(); ++i) {
      const double expected = apply(function, x[i]);
      EXPECT_NEAR(next[i], expected, 1e-9 + 5e-7 * std::abs(expected))
          << static_cast<int>(function.kind) << " of " << x[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RecurrentKernel, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace amct::testing
