// Questions that the passes for execution ask about small patterns of arithmetic.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace amct {

// The node that computes the value if it is of this operator, else null.
const Node* made_by(const Graph& graph, ValueId id, std::string_view op);

// The number in a constant of one element.
std::optional<double> scalar_of(const Graph& graph, ValueId id);

// True if the numbers are equal as far as files spell them: 1.4142 for the root of two.
bool about(double value, double expected);

// A value as a product: the constants of one element multiplied, and the other factors.
struct Product {
  double constant = 1;
  std::vector<ValueId> factors;
};
// Looks through mul, and div by a constant.
Product product_of(const Graph& graph, ValueId id);

// The other operand of a node of two if one is `id`, else kNoValue.
ValueId other_operand(const Node& node, ValueId id);

}  // namespace amct
