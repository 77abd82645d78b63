#include "plan/plan.h"

#include <algorithm>

namespace amct {

const LayerPlan* Plan::find(const std::string& layer) const {
  const auto at = std::find_if(layers.begin(), layers.end(), [&](const LayerPlan& l) { return l.name == layer; });
  return at == layers.end() ? nullptr : &*at;
}

LayerPlan* Plan::find(const std::string& layer) {
  return const_cast<LayerPlan*>(static_cast<const Plan&>(*this).find(layer));
}

}  // namespace amct
