// Which input channel of its layer each element of a weight belongs to: of the windows' columns, of a matrix' rows or
// columns, and with groups the group's own channels.
#pragma once

#include <cstdint>

#include "ir/graph.h"

namespace amct {

struct InputChannels {
  const Tensor* weight = nullptr;  // null: the layer has none that is constant
  bool matrix = false;
  size_t input_axis = 1;
  int64_t groups = 1;

  int64_t count() const { return weight->dims()[input_axis] * groups; }
  int64_t of(int64_t element) const {
    const Dims& dims = weight->dims();
    if (matrix) return input_axis == 1 ? element % dims[1] : element / dims[1];
    const int64_t filter = element_count(dims) / dims[0];
    const int64_t output = element / filter, within = element % filter / (filter / dims[1]);
    return output / (dims[0] / groups) * dims[1] + within;
  }
};

InputChannels input_channels(const Graph& graph, NodeId layer);

}  // namespace amct
