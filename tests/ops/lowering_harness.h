// Lowers single nodes by hand, without the executor: in any layout, with any epilogues.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "ops/infer.h"
#include "support/sample_node.h"
#include "support/tensors.h"

namespace amct::testing {

// The types of all values are known.
inline SampleNode make_case(const OpRow& row, const Sample& sample, uint64_t seed) {
  SampleNode result = make_sample_node(row, sample, seed);
  update_types(result.graph);
  return result;
}

// Lowers with the layouts of input 0 and output 0; null if the row has no step. `constants`: whether constant inputs
// are handed over as such (weights packed at lowering).
inline std::unique_ptr<Step> lower_case(const SampleNode& c, Layout in, Layout out,
                                        const std::vector<Epilogue>& epilogues = {}, bool constants = true,
                                        int threads = 1) {
  const Node& node = c.node();
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
inline Tensor run_step(const SampleNode& c, const Step& step, Layout in, Layout out,
                       const std::vector<Tensor>& addends = {}) {
  std::vector<Tensor> held;
  StepIo io;
  for (size_t port = 0; port < c.inputs.size(); ++port) {
    held.push_back(port == 0 && in == Layout::kChannelsLast ? to_channels_last(c.inputs[0]) : c.inputs[port]);
    io.inputs.push_back(held.back() ? held.back().view() : TensorView{});
  }
  const TensorType& type = c.graph.value(c.node().outputs[0]).type;
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

}  // namespace amct::testing
