#include "plan/plan.h"

#include <algorithm>
#include <array>
#include <charconv>

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

std::string integer_type_name(int bits) { return "INT" + std::to_string(bits); }

int bits_of_type(std::string_view name) {
  int bits = 0;
  if (!name.starts_with("INT")) return 8;
  const auto [end, error] = std::from_chars(name.data() + 3, name.data() + name.size(), bits);
  return error == std::errc() && end == name.data() + name.size() && bits > 0 && bits <= 32 ? bits : 8;
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
