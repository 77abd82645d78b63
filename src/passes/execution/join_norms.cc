#include "passes/execution/join_norms.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/op_row.h"
#include "passes/execution/pattern.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// A mean over the last `axes` axes that keeps them.
struct Mean {
  ValueId of;
  size_t axes = 0;
};

std::optional<Mean> mean_of(const Graph& graph, ValueId id) {
  const Node* mean = made_by(graph, id, "reduce_mean");
  if (mean == nullptr || attr_int(*mean, "keepdims") == 0) return std::nullopt;
  const Shape& shape = graph.value(mean->input(0)).type.shape;
  auto axes = constant_ints(graph, *mean, 1);
  if (!axes || axes->empty() || !shape.ranked()) return std::nullopt;
  for (int64_t& axis : *axes) axis = normalize_axis(axis, shape.rank());
  std::sort(axes->begin(), axes->end());
  for (size_t i = 0; i < axes->size(); ++i) {
    if (static_cast<size_t>((*axes)[i]) != shape.rank() - axes->size() + i) return std::nullopt;
  }
  return Mean{mean->input(0), axes->size()};
}

// The value whose square this is.
ValueId square_root_of(const Graph& graph, ValueId id) {
  if (const Node* pow = made_by(graph, id, "pow")) {
    const auto exponent = scalar_of(graph, pow->input(1));
    return exponent && *exponent == 2 ? pow->input(0) : kNoValue;
  }
  const Node* mul = made_by(graph, id, "mul");
  return mul != nullptr && mul->input(0) == mul->input(1) ? mul->input(0) : kNoValue;
}

// sqrt(mean(of^2) + epsilon).
struct Deviation {
  Mean mean;
  double epsilon = 0;
};

std::optional<Deviation> deviation_of(const Graph& graph, ValueId id) {
  const Node* root = made_by(graph, id, "sqrt");
  const Node* sum = root != nullptr ? made_by(graph, root->input(0), "add") : nullptr;
  if (sum == nullptr) return std::nullopt;
  for (const size_t port : {0, 1}) {
    const auto epsilon = scalar_of(graph, sum->input(1 - port));
    auto mean = epsilon ? mean_of(graph, sum->input(port)) : std::nullopt;
    if (!mean) continue;
    mean->of = square_root_of(graph, mean->of);
    if (mean->of.valid()) return Deviation{*mean, *epsilon};
  }
  return std::nullopt;
}

// The value under a fraction bar: of 1 / v, or reciprocal(v).
ValueId reciprocal_of(const Graph& graph, ValueId id) {
  if (const Node* reciprocal = made_by(graph, id, "reciprocal")) return reciprocal->input(0);
  const Node* div = made_by(graph, id, "div");
  const auto one = div != nullptr ? scalar_of(graph, div->input(0)) : std::nullopt;
  return one && *one == 1 ? div->input(1) : kNoValue;
}

struct Norm {
  ValueId x;
  bool centred = false;
  Deviation deviation;
};

// The normalization that a div or mul ends with, without scale and bias.
std::optional<Norm> norm_of(const Graph& graph, const Node& node) {
  for (const size_t port : {0, 1}) {
    ValueId below = kNoValue;
    if (is_op(node, "div") && port == 0) below = node.input(1);
    if (is_op(node, "mul")) below = reciprocal_of(graph, node.input(1 - port));
    const auto deviation = below.valid() ? deviation_of(graph, below) : std::nullopt;
    if (!deviation || deviation->mean.of != node.input(port)) continue;
    Norm norm{node.input(port), false, *deviation};
    if (const Node* centre = made_by(graph, norm.x, "sub")) {
      const auto mean = mean_of(graph, centre->input(1));
      if (mean && mean->of == centre->input(0) && mean->axes == deviation->mean.axes) {
        norm.x = centre->input(0);
        norm.centred = true;
      }
    }
    return norm;
  }
  return std::nullopt;
}

// Extents of the normalized axes; nullopt unless they are fixed.
std::optional<Dims> normalized_dims(const Graph& graph, const Norm& norm) {
  const Shape& shape = graph.value(norm.x).type.shape;
  Dims dims;
  for (size_t axis = shape.rank() - norm.deviation.mean.axes; axis < shape.rank(); ++axis) {
    if (!shape[axis].is_fixed()) return std::nullopt;
    dims.push_back(shape[axis].extent());
  }
  return dims;
}

// The constant that the node of two operands combines `value` with, with the extents `dims`; no tensor if it is none.
Tensor parameter_of(const Graph& graph, const Node& node, ValueId value, const Dims& dims) {
  const ValueId other = other_operand(node, value);
  const Tensor* constant = other.valid() ? graph.constant(other) : nullptr;
  if (constant == nullptr || constant->dtype() != graph.value(value).type.dtype) return {};
  Dims extents = constant->dims();
  while (extents.size() > dims.size() && extents.front() == 1) extents.erase(extents.begin());
  return extents == dims && constant->rank() <= graph.value(value).type.shape.rank() ? constant->reshaped(dims)
                                                                                     : Tensor();
}

// The only reader of the value if it is of this operator; kNoNode otherwise.
NodeId sole_reader(const Graph& graph, ValueId value, std::string_view op) {
  const Use* use = graph.sole_use(value);
  return use != nullptr && is_op(graph.node(use->node), op) ? use->node : kNoNode;
}

// Makes the last node of the pattern the normalization. Its name is returned.
std::string join(Graph& graph, NodeId last, const Norm& norm, const Dims& dims) {
  const ValueId quotient = graph.node(last).output();
  Tensor scale, bias;
  const NodeId mul = sole_reader(graph, quotient, "mul");
  if (mul.valid()) scale = parameter_of(graph, graph.node(mul), quotient, dims);
  if (scale) last = mul;
  const NodeId add = norm.centred ? sole_reader(graph, graph.node(last).output(), "add") : kNoNode;
  if (add.valid()) bias = parameter_of(graph, graph.node(add), graph.node(last).output(), dims);
  if (bias) last = add;
  const DType dtype = graph.value(norm.x).type.dtype;
  if (!scale) {
    scale = Tensor::of<double>(dims, std::vector<double>(static_cast<size_t>(element_count(dims)), 1)).cast(dtype);
  }
  const std::string name = graph.node(last).name;
  std::vector<ValueId> inputs{norm.x, graph.add_constant(name + ".scale", scale)};
  if (bias) inputs.push_back(graph.add_constant(name + ".bias", bias));
  const std::string op = norm.centred ? "layer_norm" : "rms_norm";
  graph.set_op(last, op, &op_table().get(op),
               {{"axis", -static_cast<int64_t>(dims.size())}, {"epsilon", norm.deviation.epsilon}});
  graph.set_inputs(last, inputs);
  return name;
}

}  // namespace

PassReport join_norms(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "div") && !is_op(node, "mul")) continue;
    const auto norm = norm_of(graph, node);
    if (!norm) continue;
    const auto dims = normalized_dims(graph, *norm);
    if (!dims) {
      report.left_alone(node.name, "ends a normalization over axes whose extents are not known");
      continue;
    }
    const std::string name = join(graph, id, *norm, *dims);
    report.applied(name, norm->centred ? "is a layer norm" : "is an rms norm");
  }
  return report;
}

}  // namespace amct
