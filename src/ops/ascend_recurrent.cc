// The arithmetic of ops/ascend_recurrent.h.
#include "ops/ascend_recurrent.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "ops/integer_compute.h"
#include "ops/recurrent.h"

namespace amct {
namespace {

using Ports = AscendRecurrentPorts;

QuantizeSpec spec_of(const Node& node, const char* suffix) {
  const bool wide = attr_int(node, "quant_dtype") == kAscendInt16;
  return {.inv_scale = static_cast<float>(attr_float(node, std::string("quant_scale_") + suffix)),
          .offset = static_cast<int32_t>(attr_float(node, std::string("quant_offset_") + suffix)),
          .low = wide ? -32768 : -128,
          .high = wide ? 32767 : 127};
}

// What a layer holds besides its extents.
struct Constants {
  AscendProduct from_x, from_h;
};

AscendProduct product_of(const TensorView& weight, const TensorView& bias, const TensorView& deq, QuantizeSpec spec,
                         bool second) {
  const int64_t rows = weight.dims[1], depth = weight.dims[2], first = second ? rows : 0;
  AscendProduct result{
      .weights = PackedWeights::pack(weight.as<int8_t>(), rows, depth, depth, 1),
      .bias = std::vector<int64_t>(static_cast<size_t>(rows)),
      .factors = {},
      .spec = spec,
      .wide = integer_sum_type(spec.high > 127 ? DType::kInt16 : DType::kInt8, depth, false, nullptr) == DType::kInt64};
  if (bias) std::copy_n(bias.as<int32_t>() + first, rows, result.bias.begin());
  const std::vector<float> factors = ascend_recurrent_factors(deq, rows);
  result.factors.assign(factors.begin() + first, factors.begin() + first + rows);
  return result;
}

Constants constants_of(const Node& node, const Ports& ports, const std::function<TensorView(size_t)>& input) {
  const TensorView bias = input(ports.b), deq = input(ports.deq_scale);
  return {product_of(input(ports.w), bias, deq, spec_of(node, "x"), false),
          product_of(input(ports.r), bias, deq, spec_of(node, "h"), true)};
}

size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }
size_t floats(int64_t count) { return align(static_cast<size_t>(count) * sizeof(float)); }

float sigmoid(float x) { return static_cast<float>(1 / (1 + std::exp(-static_cast<double>(x)))); }
float hyperbolic(float x) { return static_cast<float>(std::tanh(static_cast<double>(x))); }

// One layer with concrete extents, tied to memory.
struct Walk {
  RecurrentCell cell;
  const Constants& constants;
  int64_t steps, batch, hidden;
  const float *x, *initial_h, *initial_c;
  TensorView lengths;
  float *y, *y_h, *y_c;
  // scratch
  float *from_x, *from_h, *h, *c;
  std::byte* integers;

  static size_t scratch_bytes(const Constants& k, int64_t steps, int64_t batch, int64_t hidden) {
    const int64_t rows = k.from_x.rows();
    return floats(steps * batch * rows) + floats(batch * rows) + 2 * floats(batch * hidden) +
           std::max(k.from_x.scratch_bytes(steps * batch), k.from_h.scratch_bytes(batch));
  }
  void place(std::byte* scratch) {
    const auto take = [&](int64_t count) {
      auto* at = reinterpret_cast<float*>(scratch);
      scratch += floats(count);
      return at;
    };
    from_x = take(steps * batch * constants.from_x.rows());
    from_h = take(batch * constants.from_x.rows());
    h = take(batch * hidden);
    c = take(batch * hidden);
    integers = scratch;
  }

  void step_lstm(const float* in, const float* state, float* to_h, float* to_c) const {
    for (int64_t u = 0; u < hidden; ++u) {
      const auto sum = [&](int64_t gate) { return in[gate * hidden + u] + state[gate * hidden + u]; };
      to_c[u] = sigmoid(sum(2)) * to_c[u] + sigmoid(sum(0)) * hyperbolic(sum(3));
      to_h[u] = sigmoid(sum(1)) * hyperbolic(to_c[u]);
    }
  }
  void step_gru(const float* in, const float* state, float* to_h) const {
    for (int64_t u = 0; u < hidden; ++u) {
      const float z = sigmoid(in[u] + state[u]), r = sigmoid(in[hidden + u] + state[hidden + u]);
      const float n = hyperbolic(in[2 * hidden + u] + r * state[2 * hidden + u]);
      to_h[u] = (1 - z) * n + z * to_h[u];
    }
  }

  void run() const {
    const std::vector<int64_t> length = lengths ? sequence_lengths(lengths, steps) : std::vector<int64_t>();
    const int64_t rows = constants.from_x.rows(), states = batch * hidden;
    std::copy_n(initial_h, states, h);
    if (initial_c != nullptr) std::copy_n(initial_c, states, c);
    constants.from_x.run(x, steps * batch, from_x, integers);
    for (int64_t t = 0; t < steps; ++t) {
      constants.from_h.run(h, batch, from_h, integers);
      for (int64_t n = 0; n < batch; ++n) {
        float* to = y != nullptr ? y + (t * batch + n) * hidden : nullptr;
        if (!length.empty() && t >= length[static_cast<size_t>(n)]) {
          if (to != nullptr) std::fill_n(to, hidden, 0.0f);
          continue;
        }
        const float* in = from_x + (t * batch + n) * rows;
        const float* state = from_h + n * rows;
        cell == RecurrentCell::kLstm ? step_lstm(in, state, h + n * hidden, c + n * hidden)
                                     : step_gru(in, state, h + n * hidden);
        if (to != nullptr) std::copy_n(h + n * hidden, hidden, to);
      }
    }
    for (int64_t n = 0; n < batch; ++n) {  // as ONNX Runtime has it
      if (steps > 0 && (length.empty() || length[static_cast<size_t>(n)] > 0)) continue;
      std::fill_n(h + n * hidden, hidden, 0.0f);
      std::fill_n(c + n * hidden, hidden, 0.0f);
    }
    if (y_h != nullptr) std::copy_n(h, states, y_h);
    if (y_c != nullptr) std::copy_n(c, states, y_c);
  }
};

Walk walk_of(RecurrentCell cell, const Constants& constants, const std::function<TensorView(size_t)>& input,
             const std::function<float*(size_t)>& output) {
  const Ports& ports = ascend_recurrent_ports(cell);
  const auto values = [&](size_t port) { return static_cast<const float*>(input(port).data); };
  const Dims& x = input(ports.x).dims;
  return {.cell = cell,
          .constants = constants,
          .steps = x[0],
          .batch = x[1],
          .hidden = input(ports.initial_h).dims[2],
          .x = values(ports.x),
          .initial_h = values(ports.initial_h),
          .initial_c = values(ports.initial_c),
          .lengths = input(ports.lengths),
          .y = output(0),
          .y_h = output(1),
          .y_c = output(2),
          .from_x = nullptr,
          .from_h = nullptr,
          .h = nullptr,
          .c = nullptr,
          .integers = nullptr};
}

class LayerStep : public Step {
 public:
  LayerStep(RecurrentCell cell, Constants constants, const Dims& x, int64_t hidden)
      : cell_(cell),
        constants_(std::move(constants)),
        scratch_bytes_(Walk::scratch_bytes(constants_, x[0], x[1], hidden)) {}

  std::function<void()> bind(const StepIo& io) const override {
    const auto input = [&](size_t port) { return port < io.inputs.size() ? io.inputs[port] : TensorView{}; };
    const auto output = [&](size_t port) {
      return port < io.outputs.size() && io.outputs[port] ? static_cast<float*>(io.outputs[port].data) : nullptr;
    };
    Walk walk = walk_of(cell_, constants_, input, output);
    walk.place(io.scratch);
    return [walk] { walk.run(); };
  }
  size_t scratch_bytes() const override { return scratch_bytes_; }
  std::string implementation() const override { return "simd"; }
  bool reads(size_t input) const override {
    const Ports& ports = ascend_recurrent_ports(cell_);
    return input != ports.w && input != ports.r && input != ports.b && input != ports.deq_scale;
  }

 private:
  RecurrentCell cell_;
  Constants constants_;
  size_t scratch_bytes_;
};

}  // namespace

std::vector<float> ascend_recurrent_factors(const TensorView& deq_scale, int64_t rows) {
  const int64_t count = deq_scale.size(), each = 2 * rows / std::max<int64_t>(count, 1);
  std::vector<float> factors;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t word = deq_scale.as<uint64_t>()[i];
    if ((word >> 32) != 0) {
      throw Error(ErrorCode::kUnsupported,
                  "its deq_scale holds weight offsets or shifts, which recurrent layers have not");
    }
    factors.insert(factors.end(), static_cast<size_t>(each), std::bit_cast<float>(static_cast<uint32_t>(word)));
  }
  return factors;
}

size_t AscendProduct::scratch_bytes(int64_t count) const {
  const size_t sum = wide ? sizeof(int64_t) + sizeof(int32_t) : sizeof(int32_t);
  return align(static_cast<size_t>(count * weights.padded_depth()) * sizeof(int16_t)) +
         align(static_cast<size_t>(count * weights.padded_rows()) * sum);
}

void AscendProduct::run(const float* x, int64_t count, float* y, std::byte* scratch) const {
  const int64_t depth = weights.depth(), lda = weights.padded_depth(), ldc = weights.padded_rows();
  auto* a = reinterpret_cast<int16_t*>(scratch);
  std::byte* sums = scratch + align(static_cast<size_t>(count * lda) * sizeof(int16_t));
  for (int64_t i = 0; i < count; ++i) {
    quantize(x + i * depth, a + i * lda, static_cast<size_t>(depth), spec);
    if (lda > depth) a[i * lda + depth] = 0;
  }
  const auto finish = [&](const auto* sum) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t row = 0; row < rows(); ++row) {
        const int64_t exact = sum[i * ldc + row] - spec.offset * weights.row_sums()[row] + bias[row];
        y[i * rows() + row] = static_cast<float>(exact) * factors[row];
      }
    }
  };
  if (wide) {
    auto* wide_sums = reinterpret_cast<int64_t*>(sums);
    int_gemm_wide(a, lda, count, weights, wide_sums, ldc, reinterpret_cast<int32_t*>(wide_sums + count * ldc));
    return finish(wide_sums);
  }
  auto* narrow_sums = reinterpret_cast<int32_t*>(sums);
  int_gemm(a, lda, count, weights, narrow_sums, ldc);
  finish(narrow_sums);
}

void run_ascend_recurrent(RunContext& context, RecurrentCell cell) {
  const auto input = [&](size_t port) { return context.has(port) ? context.input(port) : TensorView{}; };
  const auto output = [&](size_t port) { return context.wants(port) ? context.output(port).as<float>() : nullptr; };
  const Constants constants = constants_of(context.node(), ascend_recurrent_ports(cell), input);
  Walk walk = walk_of(cell, constants, input, output);
  const size_t bytes = Walk::scratch_bytes(constants, walk.steps, walk.batch, walk.hidden);
  Tensor scratch = Tensor::allocate(DType::kInt8, {static_cast<int64_t>(bytes)});
  walk.place(reinterpret_cast<std::byte*>(scratch.mutable_values<int8_t>().data()));
  walk.run();
}

std::unique_ptr<Step> lower_ascend_recurrent(const LowerContext& c, RecurrentCell cell) {
  const Ports& ports = ascend_recurrent_ports(cell);
  if (!c.epilogues().empty()) return nullptr;
  for (const size_t port : {ports.w, ports.r, ports.b, ports.deq_scale}) {
    if (c.has(port) && c.input(port).constant == nullptr) return nullptr;
  }
  std::vector<Tensor> resident;  // while the weights are packed
  Constants constants = constants_of(c.node(), ports, [&](size_t port) {
    if (!c.has(port)) return TensorView{};
    return resident.emplace_back(c.input(port).constant->resident()).view();
  });
  return std::make_unique<LayerStep>(cell, std::move(constants), c.input(ports.x).dims,
                                     c.input(ports.initial_h).dims[2]);
}

}  // namespace amct
