#include "passes/quantize/qdq_constants.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "ops/convolution.h"
#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// A constant with its integers, as tensors.
struct Restored {
  Tensor floats;
  Tensor integers;
  QdqFactors factors;
};

class Restorer {
 public:
  explicit Restorer(Graph& graph) : graph_(graph) {}

  std::unordered_map<ValueId, StoredConstant> run() {
    for (const NodeId id : graph_.topological_order()) {
      if (graph_.alive(id) && is_op(graph_.node(id), "dequantize_linear")) restore(id);
    }
    return std::move(stored_);
  }

 private:
  std::vector<Tensor> constants_of(const Node& node, Tensor first) const {
    std::vector<Tensor> inputs{std::move(first)};
    for (size_t port = 1; port < node.inputs.size(); ++port) {
      inputs.push_back(node.input(port).valid() ? *graph_.constant(node.input(port)) : Tensor());
    }
    return inputs;
  }

  // The integers that the node dequantizes, if they are constant.
  std::optional<Tensor> integers_of(const Node& node) const {
    if (const Tensor* tensor = graph_.constant(node.input(0))) return *tensor;
    const Node* quantizer = graph_.producer(node.input(0));
    if (quantizer == nullptr || !is_op(*quantizer, "quantize_linear")) return std::nullopt;
    const Tensor* source = graph_.constant(quantizer->input(0));
    if (source == nullptr) return std::nullopt;
    return run_node(*quantizer, constants_of(*quantizer, *source))[0];
  }

  void restore(NodeId id) {
    const Node& node = graph_.node(id);
    const auto integers = integers_of(node);
    if (!integers || graph_.is_output(node.output())) return;
    Restored restored{.floats = run_node(node, constants_of(node, *integers))[0],
                      .integers = *integers,
                      .factors = read_qdq_factors(graph_, node)};
    const auto rank = static_cast<int64_t>(integers->rank());
    if (restored.factors.scales.size() == 1) {
      restored.factors.axis = 0;
    } else {
      restored.factors.axis = normalize_axis(restored.factors.axis, static_cast<size_t>(rank));
    }
    const std::vector<Use> uses = graph_.value(node.output()).uses;
    for (const Use& use : uses) give(use, restored, node.name);
    erase(id);
  }

  void erase(NodeId id) {
    const ValueId input = graph_.node(id).input(0);
    graph_.erase_node(id);
    if (!graph_.alive(input) || graph_.value(input).is_constant()) return;
    if (graph_.value(input).uses.empty() && !graph_.is_output(input)) graph_.erase_node(graph_.value(input).producer);
  }

  void give(const Use& use, const Restored& restored, const std::string& name) {
    const Node& reader = graph_.node(use.node);
    if (is_op(reader, "transpose") && !graph_.is_output(reader.output()) && restored.factors.block == 0) {
      const Restored turned = transposed(reader, restored);
      const std::vector<Use> uses = graph_.value(reader.output()).uses;
      for (const Use& next : uses) give(next, turned, name);
      return erase_turned(use.node);
    }
    if (use.port == 1 && is_op(reader, "conv_transpose") && attr_string(reader, "weight_layout") == "in_out") {
      return give_swapped(use.node, restored, name);
    }
    connect(use, restored, name);
  }

  void erase_turned(NodeId id) {
    graph_.set_input(id, 0, kNoValue);
    graph_.erase_node(id);
  }

  static Restored transposed(const Node& node, const Restored& restored) {
    Restored turned{.floats = run_node(node, {restored.floats})[0],
                    .integers = run_node(node, {restored.integers})[0],
                    .factors = restored.factors};
    const std::vector<int64_t> order = attr_ints(node, "perm");
    if (order.empty()) {
      turned.factors.axis = static_cast<int64_t>(restored.integers.rank()) - 1 - restored.factors.axis;
    } else {
      turned.factors.axis = std::ranges::find(order, restored.factors.axis) - order.begin();
    }
    if (turned.factors.scales.size() == 1) turned.factors.axis = 0;
    return turned;
  }

  void give_swapped(NodeId id, const Restored& restored, const std::string& name) {
    const int64_t groups = attr_int(graph_.node(id), "group");
    Restored swapped{.floats = swap_in_out(restored.floats, groups),
                     .integers = swap_in_out(restored.integers, groups),
                     .factors = restored.factors};
    QdqFactors& factors = swapped.factors;
    if (factors.scales.size() > 1 && factors.axis == 1) {
      for (int64_t group = 1; group < groups; ++group) {
        factors.scales.insert(factors.scales.end(), restored.factors.scales.begin(), restored.factors.scales.end());
        factors.zeros.insert(factors.zeros.end(), restored.factors.zeros.begin(), restored.factors.zeros.end());
      }
      factors.axis = 0;
    } else if (factors.scales.size() > 1) {
      factors.axis = -1;
    }
    graph_.node(id).attrs.set("weight_layout", std::string("out_in"));
    const ValueId constant = connect({id, 1}, swapped, name);
    graph_.value(constant).origin = {graph_.value(constant).name, kSwappedWeight};
    graph_.rename_value(constant, graph_.fresh_value_name(graph_.value(constant).name + ".out_in"));
  }

  ValueId connect(const Use& use, const Restored& restored, const std::string& name) {
    const ValueId constant = graph_.add_constant(name + ".float", restored.floats);
    graph_.set_input(use.node, use.port, constant);
    StoredConstant& stored = stored_[constant];
    stored.integers = restored.integers.to_int64s();
    stored.factors = restored.factors;
    if (!is_signed_integer(restored.factors.integer)) {
      for (int64_t& q : stored.integers) q -= int64_t{1} << (bit_width(restored.factors.integer) - 1);
    }
    return constant;
  }

  Graph& graph_;
  std::unordered_map<ValueId, StoredConstant> stored_;
};

}  // namespace

std::unordered_map<ValueId, StoredConstant> restore_qdq_constants(Graph& graph) { return Restorer(graph).run(); }

}  // namespace amct
