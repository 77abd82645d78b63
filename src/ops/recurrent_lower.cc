// The compiled step of the recurrent operators, float32 with constant weights: the inputs of all steps and directions
// in one matrix product, then step by step the product with the state and the gates (kernels/simd/recurrent.h).
//
// Threads share the work by directions and samples, which need not wait for each other, else by blocks of hidden units
// with a barrier behind every step.
#include <algorithm>
#include <cstring>

#include "kernels/dnnl/matmul.h"
#include "kernels/step_team.h"
#include "ops/compute_row.h"
#include "ops/recurrent.h"

namespace amct {
namespace {

using namespace recurrent;

// Multiplications from which on a second thread gains more than it costs: to start a team, to hand over parts of a
// step.
constexpr int64_t kWorthATeam = 1 << 20;
constexpr int64_t kWorthSharing = 1 << 17;

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
                       .threads = rows * layer.inputs * columns < kWorthATeam ? 1 : c.threads()};
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

 private:
  int64_t state_stride() const { return layer.batch_first ? layer.directions * layer.hidden : layer.hidden; }
  void run_samples() const;
  void run_lengths() const;
  void walk(int64_t direction, int64_t sample, int64_t rows, int64_t length, int team) const;
  RecurrentStep step_at(int64_t direction, int64_t sample, int64_t rows, int64_t length, int64_t i) const;
};

void copy_rows(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t count) {
  for (int64_t row = 0; row < rows; ++row) std::copy_n(from + row * from_stride, count, to + row * to_stride);
}

// Step `i` of samples [sample, sample + rows) with `length` steps. The state goes through y, else through two rows of
// memory.
RecurrentStep Bound::step_at(int64_t direction, int64_t sample, int64_t rows, int64_t length, int64_t i) const {
  const int64_t slot = direction * layer.batch + sample;
  const int64_t time = layer.backwards(direction) ? length - 1 - i : i;
  const int64_t before = layer.backwards(direction) ? time + 1 : time - 1;
  const int64_t row = layer.batch_first ? sample * layer.steps + time : time * layer.batch + sample;
  const int64_t y_stride = layer.batch_first ? layer.steps * layer.directions * layer.hidden : layer.hidden;
  float* own[2] = {state + 2 * slot * padded, state + (2 * slot + rows) * padded};
  RecurrentStep s{.rows = rows,
                  .padded = padded,
                  .x = products + row * columns + columns / layer.directions * direction,
                  .x_stride = layer.batch_first ? layer.steps * columns : columns,
                  .h = own[(i + 1) % 2],
                  .h_stride = padded,
                  .h_next = own[i % 2],
                  .next_stride = padded,
                  .c = cell + slot * padded,
                  .gates = gates + 2 * slot * padded};
  if (i == 0 && initial_h != nullptr) {
    s.h = initial_h + layer.state_offset(direction, sample);
    s.h_stride = state_stride();
  }
  if (y == nullptr) return s;
  s.h_next = y + layer.y_offset(time, direction, sample);
  s.next_stride = y_stride;
  if (i > 0) {
    s.h = y + layer.y_offset(before, direction, sample);
    s.h_stride = y_stride;
  }
  return s;
}

void Bound::walk(int64_t direction, int64_t sample, int64_t rows, int64_t length, int team) const {
  const RecurrentWeights& w = weights[static_cast<size_t>(direction)];
  const RecurrentStep start = step_at(direction, sample, rows, length, 0);
  const int64_t states = layer.state_offset(direction, sample);
  if (initial_h == nullptr)
    std::fill_n(state + 2 * (direction * layer.batch + sample) * padded, 2 * rows * padded, 0.0f);
  std::fill_n(start.c, rows * padded, 0.0f);
  if (initial_c != nullptr) copy_rows(initial_c + states, state_stride(), start.c, padded, rows, layer.hidden);

  const int64_t passes = has_second_pass(w) ? 2 : 1;
  const int64_t blocks = padded / recurrent_lanes();
  const int64_t parts = team > 1 ? std::min<int64_t>({2 * team, (blocks + 1) / 2, kMaxStepParts}) : 1;
  run_steps(team, length * passes, parts, [&](int64_t pass, int64_t part) {
    const RecurrentStep s = step_at(direction, sample, rows, length, pass / passes);
    const int64_t first = blocks * part / parts, last = blocks * (part + 1) / parts;
    pass % passes == 0 ? recurrent_step(w, s, first, last) : recurrent_second_pass(w, s, first, last);
  });

  const RecurrentStep end = step_at(direction, sample, rows, length, length - 1);
  if (y_h != nullptr) copy_rows(end.h_next, end.next_stride, y_h + states, state_stride(), rows, layer.hidden);
  if (y_c != nullptr) copy_rows(end.c, padded, y_c + states, state_stride(), rows, layer.hidden);
}

void Bound::run_samples() const {
  const int64_t products_a_step = layer.gates * layer.hidden * layer.hidden;
  if (threads == 1 || products_a_step * layer.directions * layer.batch * layer.steps < kWorthATeam) {
    for (int64_t d = 0; d < layer.directions; ++d) walk(d, 0, layer.batch, layer.steps, 1);
    return;
  }
  if (layer.directions == 1 && products_a_step >= kWorthSharing) return walk(0, 0, layer.batch, layer.steps, threads);
  const int64_t shares = std::min<int64_t>(layer.batch, (threads + layer.directions - 1) / layer.directions);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int64_t i = 0; i < layer.directions * shares; ++i) {
    const int64_t first = layer.batch * (i % shares) / shares, last = layer.batch * (i % shares + 1) / shares;
    walk(i / shares, first, last - first, layer.steps, 1);
  }
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
      walk(d, sample, 1, steps, 1);
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
