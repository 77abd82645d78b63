// The plain kernel of the recurrent operators, in double.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/recurrent.h"

namespace amct {
namespace {

using namespace recurrent;

double apply(const GateFunction& f, double x) {
  const double alpha = f.alpha, beta = f.beta;
  switch (f.kind) {
    case GateKind::kSigmoid: return 1 / (1 + std::exp(-x));
    case GateKind::kTanh: return std::tanh(x);
    case GateKind::kRelu: return x < 0 ? 0 : x;
    case GateKind::kAffine: return alpha * x + beta;
    case GateKind::kLeakyRelu: return x < 0 ? alpha * x : x;
    case GateKind::kThresholdedRelu: return x <= alpha ? 0 : x;
    case GateKind::kScaledTanh: return alpha * std::tanh(beta * x);
    case GateKind::kHardSigmoid: return std::clamp(alpha * x + beta, 0.0, 1.0);
    case GateKind::kElu: return x < 0 ? alpha * std::expm1(x) : x;
    case GateKind::kSoftsign: return x / (1 + std::abs(x));
    case GateKind::kSoftplus: return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
  }
  internal_error("unknown gate function");
}

// One direction: pointers to its part of the widened inputs; null where an input is absent.
struct Weights {
  const double *w, *r, *b, *p;
};

struct Walk {
  const Recurrence& layer;
  Weights weights;
  const GateFunction* functions;
  std::vector<double> h, c;            // state
  std::vector<double> from_x, from_h;  // products with both weights, biases included; gates x hidden

  double gate(int64_t function, double x) const {
    return apply(functions[function], std::clamp(x, -layer.clip, layer.clip));
  }
  void project(const double* x);
  void project_state(const std::vector<double>& state, int64_t first_gate, int64_t gates);
  void step_rnn();
  void step_gru();
  void step_lstm();
  void step(const double* x);
};

// y (rows) = w (rows, depth) x + b
void product(const double* w, const double* x, const double* b, int64_t rows, int64_t depth, double* y) {
  for (int64_t row = 0; row < rows; ++row, w += depth) {
    double sum = b != nullptr ? b[row] : 0;
    for (int64_t k = 0; k < depth; ++k) sum += w[k] * x[k];
    y[row] = sum;
  }
}

void Walk::project(const double* x) {
  product(weights.w, x, weights.b, layer.gates * layer.hidden, layer.inputs, from_x.data());
}

void Walk::project_state(const std::vector<double>& state, int64_t first_gate, int64_t gates) {
  const int64_t first = first_gate * layer.hidden;
  const double* b = weights.b != nullptr ? weights.b + layer.gates * layer.hidden + first : nullptr;
  product(weights.r + first * layer.hidden, state.data(), b, gates * layer.hidden, layer.hidden, from_h.data() + first);
}

void Walk::step_rnn() {
  project_state(h, 0, 1);
  for (size_t u = 0; u < h.size(); ++u) h[u] = gate(0, from_x[u] + from_h[u]);
}

void Walk::step_gru() {
  const size_t n = h.size();
  project_state(h, 0, layer.linear_before_reset ? 3 : 2);
  std::vector<double> z(n), r(n), reset(n);
  for (size_t u = 0; u < n; ++u) {
    z[u] = gate(0, from_x[u] + from_h[u]);
    r[u] = gate(0, from_x[n + u] + from_h[n + u]);
    reset[u] = r[u] * h[u];
  }
  if (!layer.linear_before_reset) project_state(reset, 2, 1);
  for (size_t u = 0; u < n; ++u) {
    const double state = layer.linear_before_reset ? r[u] * from_h[2 * n + u] : from_h[2 * n + u];
    h[u] = (1 - z[u]) * gate(1, from_x[2 * n + u] + state) + z[u] * h[u];
  }
}

void Walk::step_lstm() {
  const size_t n = h.size();
  project_state(h, 0, 4);
  const auto in = [&](size_t part, size_t u) { return from_x[part * n + u] + from_h[part * n + u]; };
  const auto peep = [&](size_t part, size_t u) { return weights.p != nullptr ? weights.p[part * n + u] * c[u] : 0.0; };
  for (size_t u = 0; u < n; ++u) {
    const double input = gate(0, in(0, u) + peep(0, u));
    const double forget = layer.input_forget ? 1 - input : gate(0, in(2, u) + peep(2, u));
    c[u] = forget * c[u] + input * gate(1, in(3, u));
    h[u] = gate(0, in(1, u) + peep(1, u)) * apply(functions[2], c[u]);
  }
}

void Walk::step(const double* x) {
  project(x);
  switch (layer.cell) {
    case RecurrentCell::kRnn: return step_rnn();
    case RecurrentCell::kGru: return step_gru();
    case RecurrentCell::kLstm: return step_lstm();
  }
}

std::vector<double> widened(const RunContext& c, size_t port) {
  return c.has(port) ? reference::widen(c.input(port)) : std::vector<double>();
}

void narrow_to(const RunContext& c, size_t port, const std::vector<double>& values) {
  if (c.wants(port)) reference::narrow(values, c.output(port));
}

struct Arrays {
  std::vector<double> x, w, r, b, initial_h, initial_c, p;
  std::vector<int64_t> lengths;
  std::vector<double> y, y_h, y_c;
};

const double* part(const std::vector<double>& values, int64_t index, int64_t parts) {
  return values.empty() ? nullptr : values.data() + static_cast<int64_t>(values.size()) / parts * index;
}

void walk(const Recurrence& layer, Arrays& arrays, int64_t direction, int64_t sample) {
  const int64_t parts = layer.directions;
  const auto hidden = static_cast<size_t>(layer.hidden);
  Walk w{.layer = layer,
         .weights = {part(arrays.w, direction, parts), part(arrays.r, direction, parts),
                     part(arrays.b, direction, parts), part(arrays.p, direction, parts)},
         .functions = layer.functions_of(direction),
         .h = std::vector<double>(hidden),
         .c = std::vector<double>(hidden),
         .from_x = std::vector<double>(hidden * static_cast<size_t>(layer.gates)),
         .from_h = std::vector<double>(hidden * static_cast<size_t>(layer.gates))};
  const int64_t length = arrays.lengths.empty() ? layer.steps : arrays.lengths[static_cast<size_t>(sample)];
  const int64_t state = layer.state_offset(direction, sample);
  if (length > 0 && !arrays.initial_h.empty()) std::copy_n(arrays.initial_h.data() + state, hidden, w.h.begin());
  if (length > 0 && !arrays.initial_c.empty()) std::copy_n(arrays.initial_c.data() + state, hidden, w.c.begin());
  for (int64_t i = 0; i < length; ++i) {
    const int64_t step = layer.backwards(direction) ? length - 1 - i : i;
    w.step(arrays.x.data() + layer.x_offset(step, sample));
    std::copy(w.h.begin(), w.h.end(), arrays.y.data() + layer.y_offset(step, direction, sample));
  }
  std::copy(w.h.begin(), w.h.end(), arrays.y_h.data() + state);
  std::copy(w.c.begin(), w.c.end(), arrays.y_c.data() + state);
}

}  // namespace

std::vector<int64_t> sequence_lengths(const TensorView& view, int64_t steps) {
  const int32_t* values = view.as<int32_t>();
  std::vector<int64_t> lengths(values, values + view.size());
  for (const int64_t length : lengths) {
    if (length < 0 || length > steps) {
      throw Error(ErrorCode::kInput, fmt::format("a sequence of {} does not fit {} steps", length, steps));
    }
  }
  return lengths;
}

void run_recurrent(RunContext& c, RecurrentCell cell) {
  const Recurrence layer = recurrence_of(c.node(), cell, c.input(kX).dims, c.input(kR).dims);
  Arrays arrays{.x = widened(c, kX),
                .w = widened(c, kW),
                .r = widened(c, kR),
                .b = widened(c, kB),
                .initial_h = widened(c, kInitialH),
                .initial_c = widened(c, kInitialC),
                .p = widened(c, kPeephole)};
  if (c.has(kLengths)) arrays.lengths = sequence_lengths(c.input(kLengths), layer.steps);
  const int64_t states = layer.directions * layer.batch;
  arrays.y.resize(static_cast<size_t>(layer.steps * states * layer.hidden));
  arrays.y_h.resize(static_cast<size_t>(states * layer.hidden));
  arrays.y_c.resize(arrays.y_h.size());
#pragma omp parallel for num_threads(c.threads())
  for (int64_t i = 0; i < states; ++i) walk(layer, arrays, i / layer.batch, i % layer.batch);
  narrow_to(c, kY, arrays.y);
  narrow_to(c, kYh, arrays.y_h);
  narrow_to(c, kYc, arrays.y_c);
}

}  // namespace amct
