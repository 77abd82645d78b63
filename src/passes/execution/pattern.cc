#include "passes/execution/pattern.h"

#include <cmath>

#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr int kMaxFactors = 8;  // patterns are small; a long chain of products is none

void collect(const Graph& graph, ValueId id, Product& product) {
  if (const auto number = scalar_of(graph, id)) {
    product.constant *= *number;
    return;
  }
  const Node* mul = made_by(graph, id, "mul");
  const Node* div = made_by(graph, id, "div");
  const auto divisor = div != nullptr ? scalar_of(graph, div->input(1)) : std::nullopt;
  if (product.factors.size() >= kMaxFactors || (mul == nullptr && !divisor)) {
    product.factors.push_back(id);
  } else if (mul != nullptr) {
    collect(graph, mul->input(0), product);
    collect(graph, mul->input(1), product);
  } else {
    product.constant /= *divisor;
    collect(graph, div->input(0), product);
  }
}

}  // namespace

const Node* made_by(const Graph& graph, ValueId id, std::string_view op) {
  const Node* node = id.valid() ? graph.producer(id) : nullptr;
  return node != nullptr && is_op(*node, op) && node->output() == id ? node : nullptr;
}

std::optional<double> scalar_of(const Graph& graph, ValueId id) {
  const Tensor* tensor = id.valid() ? graph.constant(id) : nullptr;
  if (tensor == nullptr || tensor->size() != 1 || !is_floating(tensor->dtype())) return std::nullopt;
  return tensor->to_doubles()[0];
}

bool about(double value, double expected) { return std::abs(value - expected) <= 2e-5 * std::abs(expected); }

Product product_of(const Graph& graph, ValueId id) {
  Product product;
  collect(graph, id, product);
  return product;
}

ValueId other_operand(const Node& node, ValueId id) {
  if (node.inputs.size() != 2) return kNoValue;
  if (node.input(0) == id) return node.input(1);
  return node.input(1) == id ? node.input(0) : kNoValue;
}

}  // namespace amct
