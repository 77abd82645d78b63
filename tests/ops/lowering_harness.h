// Lowers single nodes by hand, without the executor: in any layout, with any epilogues.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ops/op_row.h"

namespace amct::test {

// A graph of one node made from a sample, with the inputs' values.
struct NodeCase {
  Graph graph;
  NodeId node;
  std::vector<Tensor> inputs;
  const Node& get() const { return graph.node(node); }
};
inline Tensor random_of(const SampleInput& input, std::mt19937& random) {
  if (input.value) return input.value;
  std::uniform_real_distribution<double> uniform(input.low, input.high);
  std::vector<double> values(static_cast<size_t>(element_count(input.dims)));
  for (double& value : values) value = uniform(random);
  if (is_integer(input.dtype))
    std::transform(values.begin(), values.end(), values.begin(), [](double v) { return std::round(v); });
  return Tensor::of<double>(input.dims, values).cast(input.dtype);
}

// Copies elements (small integers by way of float) between the two orders of logical extents (N, C, spatial…).
inline Tensor permuted(const Tensor& tensor, bool to_last) {
  const Dims& dims = tensor.dims();
  if (dims.size() < 3) return tensor;
  const Dims logical = to_last ? dims : logical_dims(dims, Layout::kChannelsLast);
  const int64_t n = logical[0], channels = logical[1];
  const int64_t spatial = element_count(logical) / std::max<int64_t>(n * channels, 1);
  if (tensor.dtype() != DType::kFloat32) return permuted(tensor.cast(DType::kFloat32), to_last).cast(tensor.dtype());
  std::vector<float> result(static_cast<size_t>(tensor.size()));
  const auto from = tensor.values<float>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t s = 0; s < spatial; ++s) {
        const auto plain = static_cast<size_t>((i * channels + c) * spatial + s);
        const auto last = static_cast<size_t>((i * spatial + s) * channels + c);
        if (to_last) {
          result[last] = from[plain];
        } else {
          result[plain] = from[last];
        }
      }
    }
  }
  return Tensor::of<float>(to_last ? memory_dims(dims, Layout::kChannelsLast) : logical, result);
}

inline NodeCase make_case(const OpRow& row, const Sample& sample, uint32_t seed) {
  NodeCase result;
  std::mt19937 random(seed);
  std::vector<ValueId> ids;
  for (const SampleInput& input : sample.inputs) {
    if (input.dtype == DType::kUndefined) {
      ids.push_back(kNoValue);
      result.inputs.emplace_back();
      continue;
    }
    const Tensor value = random_of(input, random);
    const std::string name = fmt::format("x{}", ids.size());
    ids.push_back(input.constant ? result.graph.add_constant(name, value) : result.graph.add_input(name, value.type()));
    result.inputs.push_back(value);
  }
  std::vector<std::string> outputs;
  for (size_t i = 0; i < sample.outputs; ++i) outputs.push_back(fmt::format("y{}", i));
  result.node = result.graph.add_node("node", row.name, &row, ids, outputs, sample.attrs);
  update_types(result.graph);
  return result;
}

inline Tensor random_tensor(const Dims& dims, uint32_t seed, float low = -1, float high = 1) {
  std::mt19937 random(seed);
  return random_of({.dims = dims, .low = low, .high = high}, random);
}

// The same elements in the order of the other layout; extents become memory extents (or logical ones, coming back).
inline Tensor to_channels_last(const Tensor& plain) { return permuted(plain, true); }
inline Tensor to_plain(const Tensor& channels_last) { return permuted(channels_last, false); }

// Lowers with the layouts of input 0 and output 0; null if the row has no step. `constants`: whether constant inputs
// are handed over as such (weights packed at lowering).
inline std::unique_ptr<Step> lower_case(const NodeCase& c, Layout in, Layout out,
                                        const std::vector<Epilogue>& epilogues = {}, bool constants = true,
                                        int threads = 1) {
  const Node& node = c.get();
  std::vector<LowerContext::Port> inputs, outputs;
  for (size_t port = 0; port < c.inputs.size(); ++port) {
    if (!c.inputs[port]) {
      inputs.emplace_back();
      continue;
    }
    const Tensor* constant = constants ? c.graph.constant(node.inputs[port]) : nullptr;
    inputs.push_back({c.inputs[port].dtype(), c.inputs[port].dims(), port == 0 ? in : Layout::kPlain, constant});
  }
  for (const ValueId output : node.outputs) {
    const TensorType& type = c.graph.value(output).type;
    outputs.push_back({type.dtype, *type.shape.fixed(), out, nullptr});
  }
  const LowerContext context(c.graph, node, inputs, outputs, epilogues, threads);
  return node.row->lower(context);
}

// Binds and runs a step. `addends` are the operands of kAdd epilogues, plain; the result is plain.
inline Tensor run_step(const NodeCase& c, const Step& step, Layout in, Layout out,
                       const std::vector<Tensor>& addends = {}) {
  std::vector<Tensor> held;
  StepIo io;
  for (size_t port = 0; port < c.inputs.size(); ++port) {
    held.push_back(port == 0 && in == Layout::kChannelsLast ? to_channels_last(c.inputs[0]) : c.inputs[port]);
    io.inputs.push_back(held.back() ? held.back().view() : TensorView{});
  }
  const TensorType& type = c.graph.value(c.get().outputs[0]).type;
  Tensor result = Tensor::allocate(type.dtype, memory_dims(*type.shape.fixed(), out));
  std::memset(result.mutable_data(), 0xff, result.bytes().size());  // NaN: whatever is not written shows
  for (size_t i = 0; i < addends.size(); ++i) {
    held.push_back(out == Layout::kChannelsLast ? to_channels_last(addends[i]) : addends[i]);
    if (i == 0 && step.sums_in_place()) {
      std::memcpy(result.mutable_data(), held.back().bytes().data(), held.back().bytes().size());
      io.inputs.push_back({result.dtype(), result.dims(), result.mutable_data()});
    } else {
      io.inputs.push_back(held.back().view());
    }
  }
  io.outputs.push_back(result.mutable_view());
  Tensor scratch = Tensor::allocate(DType::kUInt8, {static_cast<int64_t>(step.scratch_bytes()) + 1});
  io.scratch = scratch.mutable_data();
  const auto call = step.bind(io);
  call();
  if (!(addends.size() > 0 && step.sums_in_place())) call();  // a second call gives the same
  return out == Layout::kChannelsLast ? to_plain(result) : result;
}

// What an epilogue does to a value, in double.
inline double apply(const Epilogue& e, double x, double addend) {
  using K = Epilogue::Kind;
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (e.kind) {
    case K::kClip: return std::min<double>(std::max<double>(x, e.alpha), e.beta);
    case K::kLeakyRelu: return x < 0 ? e.alpha * x : x;
    case K::kElu: return x < 0 ? e.alpha * std::expm1(x) : x;
    case K::kSigmoid: return sigmoid(x);
    case K::kTanh: return std::tanh(x);
    case K::kGeluErf: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case K::kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case K::kSwish: return x * sigmoid(e.alpha * x);
    case K::kHardSwish: return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
    case K::kHardSigmoid: return std::clamp<double>(e.alpha * x + e.beta, 0, 1);
    case K::kSoftplus: return std::log1p(std::exp(x));
    case K::kSqrt: return std::sqrt(x);
    case K::kAbs: return std::abs(x);
    case K::kExp: return std::exp(x);
    case K::kLog: return std::log(x);
    case K::kLinear: return e.alpha * x + e.beta;
    case K::kAdd: return x + addend;
    case K::kInteger: break;  // of integer layers only
  }
  return x;
}

// Largest |a - b| / (1 + |b|).
inline double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> left = a.to_doubles();
  const std::vector<double> right = b.to_doubles();
  if (left.size() != right.size()) return HUGE_VAL;
  double worst = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    if (std::isnan(left[i]) && std::isnan(right[i])) continue;
    const double difference = std::abs(left[i] - right[i]) / (1 + std::abs(right[i]));
    worst = std::max(worst, std::isnan(difference) ? HUGE_VAL : difference);
  }
  return worst;
}

}  // namespace amct::test
