#include "ops/axes.h"

namespace amct {

AxisRelation tie(int64_t channels, std::vector<AxisRef> refs) {
  return {AxisRelation::Kind::kTie, channels, std::move(refs), 1, {}};
}

AxisRelation free_axis(int64_t channels, std::vector<AxisRef> refs) {
  return {AxisRelation::Kind::kFree, channels, std::move(refs), 1, {}};
}

AxisRelation lock(AxisRef ref, std::string reason) {
  return {AxisRelation::Kind::kLock, 0, {ref}, 1, std::move(reason)};
}

std::vector<AxisRelation> axes_none(const AxesContext&) { return {}; }

std::vector<AxisRelation> axes_elementwise(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& output = c.output(0);
  for (size_t axis = 0; axis < output.size(); ++axis) {
    AxisRelation relation = tie(output[axis], {});
    for (size_t port = 0; port < c.input_count(); ++port) {
      const Dims& input = c.input(port);
      if (!c.has(port) || axis + input.size() < output.size()) continue;
      const size_t input_axis = axis + input.size() - output.size();
      if (input[input_axis] == output[axis]) relation.refs.push_back(in_axis(port, input_axis));
    }
    relation.refs.push_back(out_axis(0, axis));
    if (output[axis] > 1) relations.push_back(std::move(relation));
  }
  return relations;
}

}  // namespace amct
