#include "ops/norm.h"

#include <fmt/core.h>

namespace amct {

void infer_norm(InferContext& c, size_t min_rank) {
  const DType dtype = c.dtype(0);
  if (dtype != DType::kUndefined && (!is_floating(dtype) || bit_width(dtype) < 16)) {
    c.fail(fmt::format("its input has type {}; floating point is needed", name_of(dtype)));
  }
  if (c.shape(0).ranked() && c.shape(0).rank() < min_rank) {
    c.fail(fmt::format("its input has rank {}; at least {} is needed", c.shape(0).rank(), min_rank));
  }
  infer_same_as_first(c);
}

void check_channel_parameter(const InferContext& c, size_t port) {
  const Shape& shape = c.shape(port);
  if (!shape.ranked()) return;
  const Dim channels = c.shape(0).ranked() && c.shape(0).rank() >= 2 ? c.shape(0)[1] : Dim();
  const bool fits = shape.rank() == 1 && (!shape[0].is_fixed() || !channels.is_fixed() || shape[0] == channels);
  if (!fits) {
    c.fail(
        fmt::format("input {} has shape {} for an input of shape {}", port, shape.to_string(), c.shape(0).to_string()));
  }
}

std::vector<AxisRelation> axes_norm(const AxesContext& c, const std::function<bool(size_t axis)>& is_locked,
                                    const std::string& reason, const std::vector<size_t>& parameters) {
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.input(0).size(); ++axis) {
    if (is_locked(axis)) {
      relations.push_back(lock(in_axis(0, axis), reason));
      relations.push_back(lock(out_axis(0, axis), reason));
      continue;
    }
    AxisRelation relation = tie(c.input(0)[axis], {in_axis(0, axis)});
    if (axis == 1) {
      for (const size_t port : parameters) relation.refs.push_back(in_axis(port, 0));
    }
    relation.refs.push_back(out_axis(0, axis));
    relations.push_back(std::move(relation));
  }
  return relations;
}

}  // namespace amct
