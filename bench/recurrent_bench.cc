// One time step of a recurrent layer at the extents of audio networks. Items are multiply-accumulates: what limits a
// step of one sequence is how fast its weights come from the cache, of several how fast they are multiplied.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/simd/recurrent.h"

namespace amct {
namespace {

std::vector<float> draw(int64_t count) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-0.05f, 0.05f);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = uniform(random);
  return values;
}

// Arguments: hidden units, sequences.
void lstm_step(benchmark::State& state) {
  const int64_t hidden = state.range(0), rows = state.range(1), padded = recurrent_padded(hidden);
  const int64_t vector = 4 * recurrent_lanes();
  RecurrentWeights weights{.cell = RecurrentCell::kLstm, .gates = 4, .hidden = hidden, .clip = 1e30f};
  weights.f.kind = GateKind::kSigmoid;
  weights.r = Tensor::allocate(DType::kFloat32, {padded * 4 * hidden});
  pack_recurrent_rows(draw(4 * hidden * hidden).data(), hidden, hidden, 4, vector, hidden * vector,
                      weights.r.mutable_values<float>().data());
  const std::vector<float> x = draw(rows * padded * 4), h = draw(rows * hidden);
  std::vector<float> next(h.size()), cell(static_cast<size_t>(rows * padded));
  const RecurrentStep step{.rows = rows,
                           .padded = padded,
                           .x = x.data(),
                           .x_stride = 4 * padded,
                           .h = h.data(),
                           .h_stride = hidden,
                           .h_next = next.data(),
                           .next_stride = hidden,
                           .c = cell.data()};
  for (auto _ : state) recurrent_step(weights, step, 0, padded / recurrent_lanes());
  state.SetItemsProcessed(state.iterations() * rows * 4 * hidden * hidden);
}
BENCHMARK(lstm_step)->ArgsProduct({{128, 256, 512}, {1, 8}})->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace amct
