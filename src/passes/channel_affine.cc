#include "passes/channel_affine.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "passes/rewrite.h"

namespace amct {
namespace {

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

std::optional<AffineNode> batch_norm(const Graph& graph, const Node& node, size_t axis) {
  if (axis != 1 || !only_first_output_used(graph, node)) return std::nullopt;
  std::vector<double> parameters[4];
  for (size_t i = 0; i < 4; ++i) {
    const Tensor* tensor = graph.constant(node.input(i + 1));
    if (tensor == nullptr || !is_floating(tensor->dtype()) || tensor->rank() != 1) return std::nullopt;
    parameters[i] = tensor->to_doubles();
    if (parameters[i].empty() || parameters[i].size() != parameters[0].size()) return std::nullopt;
  }
  const auto& [gamma, beta, mean, var] = parameters;
  // The attribute is a 32-bit float in every format that carries it.
  const double epsilon = static_cast<float>(node.attrs.get<double>("epsilon", 1e-5));
  AffineNode result;
  for (size_t c = 0; c < gamma.size(); ++c) {
    const double scale = gamma[c] / std::sqrt(var[c] + epsilon);
    result.map.scale.push_back(scale);
    result.map.shift.push_back(beta[c] - mean[c] * scale);
  }
  return result;
}

// The constant as one number or one per channel of `data` along `axis`; nullopt if it is anything else.
std::optional<std::vector<double>> per_channel(const Tensor& constant, const Shape& data, size_t axis) {
  if (constant.size() == 1) {
    const bool widens = constant.rank() > 1 && (!data.ranked() || constant.rank() > data.rank());
    return widens || (constant.rank() == 1 && data.ranked() && data.rank() == 0) ? std::nullopt
                                                                                 : std::optional(constant.to_doubles());
  }
  if (!data.ranked() || constant.rank() > data.rank() || axis >= data.rank()) return std::nullopt;
  const size_t lead = data.rank() - constant.rank();
  for (size_t i = 0; i < constant.rank(); ++i) {
    if (lead + i != axis && constant.dims()[i] != 1) return std::nullopt;
  }
  if (!data[axis].is_fixed() || data[axis].extent() != constant.size()) return std::nullopt;
  return constant.to_doubles();
}

std::optional<AffineNode> arithmetic(const Graph& graph, const Node& node, size_t axis) {
  const bool add = is_op(node, "add");
  const bool sub = is_op(node, "sub");
  const bool mul = is_op(node, "mul");
  const bool div = is_op(node, "div");
  if ((!add && !sub && !mul && !div) || node.inputs.size() != 2) return std::nullopt;
  const Tensor* left = graph.constant(node.input(0));
  const Tensor* right = graph.constant(node.input(1));
  if ((left == nullptr) == (right == nullptr) || (div && right == nullptr)) return std::nullopt;
  AffineNode result;
  result.data_port = left != nullptr ? 1 : 0;
  const Tensor& constant = left != nullptr ? *left : *right;
  const Value& data = graph.value(node.input(result.data_port));
  if (!is_floating(constant.dtype()) || data.type.dtype != constant.dtype()) return std::nullopt;
  const auto numbers = per_channel(constant, data.type.shape, axis);
  if (!numbers) return std::nullopt;
  for (const double c : *numbers) {
    if (mul || div) {
      result.map.scale.push_back(mul ? c : 1 / c);
      result.map.shift.push_back(0);
    } else {
      result.map.scale.push_back(sub && left != nullptr ? -1 : 1);
      result.map.shift.push_back(sub && left == nullptr ? -c : c);
    }
  }
  return result;
}

}  // namespace

bool ChannelAffine::is_finite() const { return all_finite(scale) && all_finite(shift); }

bool ChannelAffine::shifts() const {
  return std::any_of(shift.begin(), shift.end(), [](double value) { return value != 0; });
}

std::optional<ChannelAffine> ChannelAffine::spread(int64_t channels) const {
  const auto count = static_cast<size_t>(channels);
  if (scale.size() == count) return *this;
  if (!is_scalar()) return std::nullopt;
  return ChannelAffine{std::vector<double>(count, scale[0]), std::vector<double>(count, shift[0])};
}

std::optional<ChannelAffine> ChannelAffine::then(const ChannelAffine& next) const {
  const auto channels = static_cast<int64_t>(std::max(scale.size(), next.scale.size()));
  auto result = spread(channels);
  const auto second = next.spread(channels);
  if (!result || !second) return std::nullopt;
  for (size_t c = 0; c < result->scale.size(); ++c) {
    result->shift[c] = result->shift[c] * second->scale[c] + second->shift[c];
    result->scale[c] *= second->scale[c];
  }
  return result;
}

std::optional<AffineNode> affine_of(const Graph& graph, const Node& node, size_t axis) {
  if (is_op(node, "batch_norm")) return batch_norm(graph, node, axis);
  return arithmetic(graph, node, axis);
}

}  // namespace amct
