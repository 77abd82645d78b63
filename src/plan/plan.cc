#include "plan/plan.h"

#include <algorithm>
#include <array>

namespace amct {
namespace {

using Method = ClipSearch::Method;

constexpr std::array<ClipMethodName, 6> kMethods = {{{Method::kIfmr, "ifmr"},
                                                     {Method::kMinMax, "min_max"},
                                                     {Method::kPercentile, "percentile"},
                                                     {Method::kMse, "mse"},
                                                     {Method::kKl, "kl"},
                                                     {Method::kHfmg, "hfmg"}}};

}  // namespace

std::span<const ClipMethodName> clip_methods() { return kMethods; }

std::optional<Method> clip_method(std::string_view name) {
  const auto row =
      std::ranges::find(kMethods, name, [](const ClipMethodName& item) -> std::string_view { return item.second; });
  return row == kMethods.end() ? std::nullopt : std::optional(row->first);
}

const LayerPlan* Plan::find(const std::string& layer) const {
  const auto at = std::find_if(layers.begin(), layers.end(), [&](const LayerPlan& l) { return l.name == layer; });
  return at == layers.end() ? nullptr : &*at;
}

LayerPlan* Plan::find(const std::string& layer) {
  return const_cast<LayerPlan*>(static_cast<const Plan&>(*this).find(layer));
}

bool Plan::has_weight_groups() const {
  return std::ranges::any_of(
      layers, [](const LayerPlan& layer) { return layer.quantize && layer.weight && layer.weight->group > 0; });
}

}  // namespace amct
