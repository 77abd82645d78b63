// The compiled step of the recurrent operators, float32 with constant weights: the inputs of all steps and directions
// in one matrix product, then step by step the product with the state and the gates (kernels/simd/recurrent.h).
//
// Threads share the work by directions and samples, which need not wait for each other, else by blocks of hidden units
// with a barrier behind every step.
#include <omp.h>

#include <algorithm>
#include <cstring>

#include "kernels/dnnl/matmul.h"
#include "ops/compute_row.h"
#include "ops/recurrent.h"

namespace amct {
namespace {

using namespace recurrent;

// Below this many multiplications a step, a barrier costs more than a second thread gains.
constexpr int64_t kWorthSharing = 1 << 16;

size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }
size_t floats(int64_t count) { return align(static_cast<size_t>(count) * sizeof(float)); }

Tensor packed(const float* rows, int64_t hidden, int64_t depth, int64_t gates) {
  const int64_t vector = gates * recurrent_lanes();
  Tensor result = Tensor::allocate(DType::kFloat32, {recurrent_padded(hidden) * gates * depth});
  pack_recurrent_rows(rows, hidden, depth, gates, vector, depth * vector, result.mutable_values<float>().data());
  return result;
}

// The constant of a port from direction `direction` on; null if the port is absent.
const float* values_of(const LowerContext& c, size_t port, int64_t direction) {
  if (!c.has(port)) return nullptr;
  const Tensor& tensor = *c.input(port).constant;
  return tensor.values<float>().data() + tensor.size() / tensor.dims()[0] * direction;
}

RecurrentWeights weights_of(const LowerContext& c, const Recurrence& layer, int64_t direction) {
  const int64_t hidden = layer.hidden;
  const GateFunction* functions = layer.functions_of(direction);
  RecurrentWeights w{.cell = layer.cell,
                     .gates = layer.gates,
                     .hidden = hidden,
                     .linear_before_reset = layer.linear_before_reset,
                     .input_forget = layer.input_forget,
                     .clip = static_cast<float>(layer.clip),
                     .f = functions[0],
                     .g = functions[std::min<int64_t>(1, layer.functions_each - 1)],
                     .h = functions[layer.functions_each - 1]};
  const float* r = values_of(c, kR, direction);
  const float* b = values_of(c, kB, direction);
  const float* p = values_of(c, kPeephole, direction);
  w.r = packed(r, hidden, hidden, has_second_pass(w) ? 2 : layer.gates);
  if (has_second_pass(w)) w.r_new = packed(r + 2 * hidden * hidden, hidden, hidden, 1);
  if (w.linear_before_reset) {
    const std::vector<float> none(static_cast<size_t>(hidden));
    w.bias_new = packed(b != nullptr ? b + 5 * hidden : none.data(), hidden, 1, 1);
  }
  if (p != nullptr) w.peephole = packed(p, hidden, 1, 3);
  return w;
}

// Columns of the product with the inputs: (direction, block, gate, lane).
int64_t columns_of(const Recurrence& layer) { return layer.directions * recurrent_padded(layer.hidden) * layer.gates; }

// Both biases of a gate, but for that of gru's n which is multiplied by r: it stays with the state.
std::vector<float> joint_bias(const Recurrence& layer, const float* b) {
  const int64_t count = layer.gates * layer.hidden;
  const int64_t joint = layer.linear_before_reset ? 2 * layer.hidden : count;
  std::vector<float> sum(b, b + count);
  for (int64_t i = 0; i < joint; ++i) sum[static_cast<size_t>(i)] += b[count + i];
  return sum;
}

std::unique_ptr<dnn::Kernel> input_product(const LowerContext& c, const Recurrence& layer) {
  const int64_t columns = columns_of(layer);
  const int64_t rows = layer.steps * layer.batch;
  const int64_t vector = layer.gates * recurrent_lanes();
  dnn::MatmulSpec spec{.a_dims = {rows, layer.inputs},
                       .b_dims = {layer.inputs, columns},
                       .dst_dims = {rows, columns},
                       .b = Tensor::allocate(DType::kFloat32, {layer.inputs, columns}),
                       .threads = c.threads()};
  if (c.has(kB)) {
    spec.bias_dims = {1, columns};
    spec.bias = Tensor::allocate(DType::kFloat32, {1, columns});
  }
  for (int64_t d = 0; d < layer.directions; ++d) {
    const int64_t first = columns / layer.directions * d;
    pack_recurrent_rows(values_of(c, kW, d), layer.hidden, layer.inputs, layer.gates, columns, vector,
                        spec.b.mutable_values<float>().data() + first);
    if (!c.has(kB)) continue;
    const std::vector<float> bias = joint_bias(layer, values_of(c, kB, d));
    pack_recurrent_rows(bias.data(), layer.hidden, 1, layer.gates, 1, vector,
                        spec.bias.mutable_values<float>().data() + first);
  }
  return dnn::make_matmul(spec);
}

// Parts of a worker's scratch memory, as offsets.
struct Places {
  size_t products, state, cell, gates, library, end;
};

// A layer bound to addresses.
struct Bound {
  const Recurrence& layer;
  const std::vector<RecurrentWeights>& weights;
  int threads;
  int64_t padded, columns;
  float *products, *state, *cell, *gates;
  const float *initial_h, *initial_c;
  TensorView lengths;
  float *y, *y_h, *y_c;

  void run() const;
  void walk(int64_t direction, int64_t sample, int64_t rows, int64_t length, int member, int team) const;
  void finish(int64_t direction, int64_t sample, int64_t rows, const float* h, int64_t h_stride) const;

 private:
  int64_t state_stride() const { return layer.batch_first ? layer.directions * layer.hidden : layer.hidden; }
  void run_samples() const;
  void run_lengths() const;
};

void copy_rows(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t count) {
  for (int64_t row = 0; row < rows; ++row) std::copy_n(from + row * from_stride, count, to + row * to_stride);
}

// Samples [sample, sample + rows) over `length` steps, by member `member` of a team that shares the blocks.
void Bound::walk(int64_t direction, int64_t sample, int64_t rows, int64_t length, int member, int team) const {
  const RecurrentWeights& w = weights[static_cast<size_t>(direction)];
  const int64_t blocks = padded / recurrent_lanes();
  const int64_t first = blocks * member / team, last = blocks * (member + 1) / team;
  const int64_t slot = direction * layer.batch + sample;
  const int64_t y_stride = layer.batch_first ? layer.steps * layer.directions * layer.hidden : layer.hidden;
  float* own[2] = {state + 2 * slot * padded, state + (2 * slot + rows) * padded};
  RecurrentStep s{.rows = rows,
                  .padded = padded,
                  .x_stride = layer.batch_first ? layer.steps * columns : columns,
                  .h = initial_h != nullptr ? initial_h + layer.state_offset(direction, sample) : own[1],
                  .h_stride = initial_h != nullptr ? state_stride() : padded,
                  .c = cell + slot * padded,
                  .gates = gates + 2 * slot * padded};
  if (member == 0) {
    if (initial_h == nullptr) std::fill_n(own[1], rows * padded, 0.0f);
    std::fill_n(s.c, rows * padded, 0.0f);
    if (initial_c != nullptr) {
      copy_rows(initial_c + layer.state_offset(direction, sample), state_stride(), s.c, padded, rows, layer.hidden);
    }
  }
  if (team > 1) {
#pragma omp barrier
  }
  for (int64_t i = 0; i < length; ++i) {
    const int64_t step = layer.backwards(direction) ? length - 1 - i : i;
    const int64_t row = layer.batch_first ? sample * layer.steps + step : step * layer.batch + sample;
    s.x = products + row * columns + columns / layer.directions * direction;
    s.h_next = y != nullptr ? y + layer.y_offset(step, direction, sample) : own[i % 2];
    s.next_stride = y != nullptr ? y_stride : padded;
    recurrent_step(w, s, first, last);
    if (has_second_pass(w)) {
      if (team > 1) {
#pragma omp barrier
      }
      recurrent_second_pass(w, s, first, last);
    }
    if (team > 1) {
#pragma omp barrier
    }
    s.h = s.h_next;
    s.h_stride = s.next_stride;
  }
  if (member == 0) finish(direction, sample, rows, s.h, s.h_stride);
}

void Bound::finish(int64_t direction, int64_t sample, int64_t rows, const float* h, int64_t h_stride) const {
  const int64_t to = layer.state_offset(direction, sample);
  const float* c = cell + (direction * layer.batch + sample) * padded;
  if (y_h != nullptr) copy_rows(h, h_stride, y_h + to, state_stride(), rows, layer.hidden);
  if (y_c != nullptr) copy_rows(c, padded, y_c + to, state_stride(), rows, layer.hidden);
}

void Bound::run_samples() const {
  if (threads == 1) {
    for (int64_t d = 0; d < layer.directions; ++d) walk(d, 0, layer.batch, layer.steps, 0, 1);
    return;
  }
  if (layer.directions * layer.batch > 1) {
    const int64_t shares = std::min<int64_t>(layer.batch, (threads + layer.directions - 1) / layer.directions);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t i = 0; i < layer.directions * shares; ++i) {
      const int64_t first = layer.batch * (i % shares) / shares, last = layer.batch * (i % shares + 1) / shares;
      walk(i / shares, first, last - first, layer.steps, 0, 1);
    }
    return;
  }
  const bool share = layer.gates * layer.hidden * layer.hidden >= kWorthSharing;
  if (!share) return walk(0, 0, 1, layer.steps, 0, 1);
#pragma omp parallel num_threads(threads)
  walk(0, 0, 1, layer.steps, omp_get_thread_num(), omp_get_num_threads());
}

// Sequences of unequal lengths go one by one.
void Bound::run_lengths() const {
  const std::vector<int64_t> length = sequence_lengths(lengths, layer.steps);
  if (std::all_of(length.begin(), length.end(), [&](int64_t n) { return n == layer.steps; })) return run_samples();
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t i = 0; i < layer.directions * layer.batch; ++i) {
    const int64_t d = i / layer.batch, sample = i % layer.batch;
    const int64_t steps = length[static_cast<size_t>(sample)];
    for (int64_t step = steps; y != nullptr && step < layer.steps; ++step) {
      std::fill_n(y + layer.y_offset(step, d, sample), layer.hidden, 0.0f);
    }
    if (steps > 0) {
      walk(d, sample, 1, steps, 0, 1);
    } else {
      for (float* to : {y_h, y_c}) {
        if (to != nullptr) std::fill_n(to + layer.state_offset(d, sample), layer.hidden, 0.0f);
      }
    }
  }
}

void Bound::run() const { lengths ? run_lengths() : run_samples(); }

class LayerStep : public Step {
 public:
  LayerStep(Recurrence layer, std::vector<RecurrentWeights> weights, std::unique_ptr<dnn::Kernel> product, int threads)
      : layer_(std::move(layer)), weights_(std::move(weights)), product_(std::move(product)), threads_(threads) {
    const int64_t padded = recurrent_padded(layer_.hidden), states = layer_.directions * layer_.batch;
    places_.products = 0;
    places_.state = floats(layer_.steps * layer_.batch * columns_of(layer_));
    places_.cell = places_.state + floats(2 * states * padded);
    places_.gates = places_.cell + floats(states * padded);
    places_.library = places_.gates + floats(2 * states * padded);
    places_.end = places_.library + product_->scratch_bytes();
  }

  std::function<void()> bind(const StepIo& io) const override {
    const auto in = [&](size_t port) {
      return port < io.inputs.size() ? static_cast<const float*>(io.inputs[port].data) : nullptr;
    };
    const auto out = [&](size_t port) {
      return port < io.outputs.size() && io.outputs[port] ? static_cast<float*>(io.outputs[port].data) : nullptr;
    };
    const auto scratch = [&](size_t place) { return reinterpret_cast<float*>(io.scratch + place); };
    const Bound bound{.layer = layer_,
                      .weights = weights_,
                      .threads = threads_,
                      .padded = recurrent_padded(layer_.hidden),
                      .columns = columns_of(layer_),
                      .products = scratch(places_.products),
                      .state = scratch(places_.state),
                      .cell = scratch(places_.cell),
                      .gates = scratch(places_.gates),
                      .initial_h = in(kInitialH),
                      .initial_c = in(kInitialC),
                      .lengths = io.inputs.size() > kLengths ? io.inputs[kLengths] : TensorView{},
                      .y = out(kY),
                      .y_h = out(kYh),
                      .y_c = out(kYc)};
    const std::vector<const void*> operands{io.inputs[kX].data, nullptr, nullptr};
    return [bound, project = product_->bind(operands, bound.products, io.scratch + places_.library)] {
      project();
      bound.run();
    };
  }
  size_t scratch_bytes() const override { return places_.end; }
  std::string implementation() const override { return "simd + " + product_->implementation(); }

 private:
  Recurrence layer_;
  std::vector<RecurrentWeights> weights_;
  std::unique_ptr<dnn::Kernel> product_;
  int threads_;
  Places places_{};
};

}  // namespace

std::unique_ptr<Step> lower_recurrent(const LowerContext& c, RecurrentCell cell) {
  if (c.input(kX).dtype != DType::kFloat32 || !c.epilogues().empty()) return nullptr;
  for (const size_t port : {kW, kR, kB, kPeephole}) {
    if (c.has(port) && c.input(port).constant == nullptr) return nullptr;
  }
  Recurrence layer = recurrence_of(c.node(), cell, c.input(kX).dims, c.input(kR).dims);
  if (layer.steps * layer.batch * layer.inputs * layer.hidden == 0) return nullptr;
  auto product = input_product(c, layer);
  if (product == nullptr) return nullptr;
  std::vector<RecurrentWeights> weights;
  for (int64_t d = 0; d < layer.directions; ++d) weights.push_back(weights_of(c, layer, d));
  return std::make_unique<LayerStep>(std::move(layer), std::move(weights), std::move(product), c.threads());
}

}  // namespace amct
