// y[c] = scale[c] x[c] + shift[c] with constant numbers: what batch normalization in inference computes, and what
// addition, subtraction, multiplication and division by a constant compute where the constant is a scalar or one number
// per channel. Batch normalization (gamma, beta, mean, var, epsilon):
//   scale = gamma / sqrt(var + epsilon),  shift = beta - mean scale
// All in double, so that folding rounds once.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph.h"

namespace amct {

struct ChannelAffine {
  std::vector<double> scale;  // one number for all channels, or one per channel; as long as `shift`
  std::vector<double> shift;

  bool is_scalar() const { return scale.size() == 1; }
  bool is_finite() const;
  bool shifts() const;  // some shift is not zero
  // This map for `channels` channels; nullopt if it has another number of them.
  std::optional<ChannelAffine> spread(int64_t channels) const;
  // `next` after this map; nullopt if they have different numbers of channels.
  std::optional<ChannelAffine> then(const ChannelAffine& next) const;
};

struct AffineNode {
  ChannelAffine map;
  size_t data_port = 0;  // the input that the map applies to
};

// `node` as a map of the channels along `axis` of its data input; nullopt if it is none: another operator, computed
// parameters, integers, a constant that varies along other axes or widens the result.
std::optional<AffineNode> affine_of(const Graph& graph, const Node& node, size_t axis);

}  // namespace amct
