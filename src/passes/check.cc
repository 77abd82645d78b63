#include "passes/check.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <unordered_set>

#include "ir/dispatch.h"
#include "ops/run.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

constexpr double kRoundingTolerance = 1e-4;

Tensor random_tensor(DType dtype, const Dims& dims, std::mt19937_64& random) {
  Tensor tensor = Tensor::allocate(dtype, dims);
  std::uniform_real_distribution<float> uniform(-1, 1);
  visit_numeric(dtype, [&]<typename T>(Tag<T>) {
    for (T& value : tensor.mutable_values<T>()) {
      if (is_floating(dtype)) {
        value = static_cast<T>(static_cast<Compute<T>>(uniform(random)));
      } else {
        value = static_cast<T>(random() & 1);
      }
    }
  });
  return tensor;
}

bool same_class(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return true;
}

bool kept_promise(const Tensor& before, const Tensor& after, Effect effect) {
  if (effect == Effect::kLossy || !before) return true;
  if (effect == Effect::kExact) return before.same_bytes(after);
  return relative_difference(before, after) <= kRoundingTolerance;
}

// The node that the pass changed, among those before `start`, that stands closest to it.
std::string nearest_changed(const Graph& graph, NodeId start, const PassReport& report) {
  std::unordered_set<std::string> changed;
  for (const PassNote& note : report.notes) {
    if (note.applied) changed.insert(note.node);
  }
  std::vector<NodeId> queue{start};
  std::vector<bool> seen(graph.node_slots());
  for (size_t at = 0; at < queue.size(); ++at) {
    const Node& node = graph.node(queue[at]);
    if (changed.contains(node.name)) return node.name;
    for (const ValueId input : node.inputs) {
      if (!input.valid() || !graph.value(input).producer.valid()) continue;
      const NodeId producer = graph.value(input).producer;
      if (!seen[producer.index]) queue.push_back(producer);
      seen[producer.index] = true;
    }
  }
  return report.notes.empty() ? graph.node(start).name : report.notes.front().node;
}

// Graph outputs and what opaque nodes read: every pass leaves these in place and in this order.
std::vector<ValueId> observed(const Graph& graph) {
  std::vector<ValueId> ids = graph.outputs();
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (!node.is_opaque()) continue;
    for (const ValueId input : node.inputs) {
      if (input.valid()) ids.push_back(input);
    }
  }
  return ids;
}

// Where the numbers went wrong: the first value that both graphs have, that differs, and that the pass did not rewrite.
std::string blame(const Graph& before, const Graph& after, const std::vector<Tensor>& inputs, Effect effect,
                  const PassReport& report, ValueId output) {
  std::unordered_set<std::string> changed;
  for (const PassNote& note : report.notes) changed.insert(note.node);
  std::vector<ValueId> shared;
  for (const NodeId id : after.topological_order()) {
    const ValueId value = after.node(id).output();
    if (!changed.contains(after.node(id).name) && value.valid() && before.alive(value)) shared.push_back(value);
  }
  const std::vector<Tensor> old_values = run_plain(before, inputs, shared);
  const std::vector<Tensor> new_values = run_plain(after, inputs, shared);
  NodeId wrong = after.value(output).producer;
  for (size_t i = 0; i < shared.size(); ++i) {
    if (kept_promise(old_values[i], new_values[i], effect)) continue;
    wrong = after.value(shared[i]).producer;
    break;
  }
  return wrong.valid() ? nearest_changed(after, wrong, report) : std::string();
}

}  // namespace

std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed, int64_t open_extent) {
  std::mt19937_64 random(seed);
  std::map<std::string, int64_t> extents;
  int64_t next = open_extent;
  std::vector<Tensor> inputs;
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    if (!value.type.shape.ranked()) {
      throw Error(ErrorCode::kUnsupported, fmt::format("the rank of input '{}' is not known", value.name));
    }
    Dims dims;
    for (const Dim& dim : value.type.shape.dims()) {
      if (dim.is_fixed()) {
        dims.push_back(dim.extent());
        continue;
      }
      const auto [at, is_new] = extents.try_emplace(dim.is_named() ? dim.name() : fmt::format("?{}", next), next);
      if (is_new) next += open_extent > 1 ? 2 : 0;
      dims.push_back(at->second);
    }
    inputs.push_back(random_tensor(value.type.dtype, dims, random));
  }
  return inputs;
}

std::vector<Tensor> run_plain(const Graph& graph, const std::vector<Tensor>& inputs,
                              const std::vector<ValueId>& wanted) {
  AMCT_CHECK(inputs.size() == graph.inputs().size(), "as many tensors as the graph has inputs");
  std::vector<Tensor> values(graph.value_slots());
  std::vector<size_t> waiting(graph.value_slots());
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (value.kind == ValueKind::kConstant || value.kind == ValueKind::kVariable) values[id.index] = value.data;
    waiting[id.index] = value.uses.size();
  }
  for (const ValueId id : wanted) ++waiting[id.index];
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs()[i].index] = inputs[i];
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    std::vector<Tensor> operands;
    bool computable = !node.is_opaque();
    for (const Subgraph& inner : subgraphs(node)) computable = computable && find_opaque(*inner.graph) == nullptr;
    for (const ValueId input : node.inputs) {
      operands.push_back(input.valid() ? values[input.index] : Tensor());
      computable = computable && (!input.valid() || operands.back());
    }
    if (computable) {
      std::vector<Tensor> results = run_node(node, operands);
      for (size_t port = 0; port < node.outputs.size(); ++port) {
        const ValueId output = node.outputs[port];
        if (output.valid() && waiting[output.index] > 0) values[output.index] = std::move(results[port]);
      }
    }
    for (const ValueId input : node.inputs) {
      if (input.valid() && --waiting[input.index] == 0) values[input.index] = Tensor();
    }
  }
  std::vector<Tensor> results;
  for (const ValueId id : wanted) results.push_back(values[id.index]);
  return results;
}

double relative_difference(const Tensor& expected, const Tensor& actual) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (expected.dtype() != actual.dtype() || expected.dims() != actual.dims()) return kInfinity;
  const std::vector<double> a = expected.to_doubles();
  const std::vector<double> b = actual.to_doubles();
  double low = 0, high = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same_class(a[i], b[i])) return kInfinity;
    if (!std::isfinite(a[i])) continue;
    low = std::min(low, a[i]);
    high = std::max(high, a[i]);
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  return largest == 0 ? 0 : largest / std::max(high - low, 1e-30);
}

NumericCheck::NumericCheck(const Graph& graph, uint64_t seed) : before_(graph) {
  for (const int64_t open_extent : {2, 1, 8}) {
    try {
      inputs_ = random_inputs(graph, seed, open_extent);
      results_ = run_plain(graph, inputs_, observed(graph));
      const auto end = results_.begin() + static_cast<std::ptrdiff_t>(graph.outputs().size());
      const auto absent = std::count_if(results_.begin(), end, [](const Tensor& tensor) { return !tensor; });
      unavailable_ = absent == 0 ? "" : fmt::format("{} outputs depend on operators that cannot be run", absent);
      return;
    } catch (const Error& error) {
      unavailable_ = fmt::format("the model does not run on random input: {}", error.what());
    }
  }
}

void NumericCheck::after(const Graph& graph, const PassInfo& pass, const PassReport& report) {
  if (results_.empty()) return;
  const std::vector<ValueId> ids = observed(graph);
  std::vector<Tensor> results = run_plain(graph, inputs_, ids);
  AMCT_CHECK(results.size() == results_.size(), fmt::format("pass {} changed outputs or opaque nodes", pass.name));
  for (size_t i = 0; i < results.size(); ++i) {
    if (kept_promise(results_[i], results[i], pass.effect)) continue;
    throw Error(ErrorCode::kInternal,
                fmt::format("pass {} promises {} results, but '{}' differs by {:.3g} of its range", pass.name,
                            name_of(pass.effect), graph.value(ids[i]).name,
                            results[i] ? relative_difference(results_[i], results[i]) : 1.0),
                {.model = graph.info.path, .node = blame(before_, graph, inputs_, pass.effect, report, ids[i])},
                fmt::format("report this, and leave the pass out with --skip-pass {}", pass.name));
  }
  results_ = std::move(results);
  before_ = graph;
}

}  // namespace amct
