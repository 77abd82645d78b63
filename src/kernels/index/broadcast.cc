#include "kernels/index/broadcast.h"

#include <fmt/format.h>

#include <algorithm>

namespace amct {

BroadcastPlan plan_broadcast(const Dims& output, std::span<const Dims> operands) {
  AMCT_CHECK(operands.size() <= kMaxBroadcastOperands, "too many operands for one broadcast");
  // Built from the innermost run outwards, then turned round.
  BroadcastPlan plan;
  size_t runs = 0;
  std::array<int64_t, kMaxBroadcastOperands> dense{1, 1, 1};
  for (size_t axis = output.size(); axis-- > 0;) {
    const int64_t extent = output[axis];
    if (extent == 1) continue;
    std::array<int64_t, kMaxBroadcastOperands> strides{};
    bool joins = runs > 0;
    for (size_t k = 0; k < operands.size(); ++k) {
      AMCT_CHECK(operands[k].size() <= output.size(), "an operand has more axes than the output");
      const size_t missing = output.size() - operands[k].size();
      const int64_t own = axis < missing ? 1 : operands[k][axis - missing];
      AMCT_CHECK(own == extent || own == 1, "an operand does not broadcast to the output");
      strides[k] = own == 1 ? 0 : dense[k];
      dense[k] *= own;
      joins = joins && strides[k] == plan.strides[k][runs - 1] * plan.extents[runs - 1];
    }
    if (joins) {
      plan.extents[runs - 1] *= extent;
      continue;
    }
    if (runs == kMaxBroadcastRuns) {
      throw Error(ErrorCode::kUnsupported, fmt::format("shapes that broadcast to {} alternate along more than {} axes",
                                                       to_string(output), kMaxBroadcastRuns));
    }
    plan.extents[runs] = extent;
    for (size_t k = 0; k < operands.size(); ++k) plan.strides[k][runs] = strides[k];
    ++runs;
  }
  for (; runs < 2; ++runs) plan.extents[runs] = 1;
  plan.runs = runs;
  std::reverse(plan.extents.begin(), plan.extents.begin() + static_cast<ptrdiff_t>(runs));
  for (auto& strides : plan.strides) std::reverse(strides.begin(), strides.begin() + static_cast<ptrdiff_t>(runs));
  return plan;
}

}  // namespace amct
