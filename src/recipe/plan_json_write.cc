// The writing half of recipe/plan_json.h.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipe/plan_json.h"

namespace amct {
namespace {

using Method = ClipSearch::Method;

std::string quote(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

const char* yes_no(bool value) { return value ? "true" : "false"; }

std::string name_of_method(Method method) {
  return std::ranges::find(clip_methods(), method, &ClipMethodName::first)->second;
}

std::string format_search(const ClipSearch& s) {
  std::string text = fmt::format("{{\"method\": \"{}\"", name_of_method(s.method));
  if (s.method == Method::kHfmg) {
    text += fmt::format(", \"bins\": {}", s.bins);
  } else if (s.method != Method::kMinMax) {
    text += fmt::format(", \"max_percentile\": {}, \"min_percentile\": {}", s.max_percentile, s.min_percentile);
  }
  if (s.method == Method::kIfmr) {
    text += fmt::format(", \"search_start\": {}, \"search_end\": {}, \"search_step\": {}", s.search_start, s.search_end,
                        s.search_step);
  }
  return text + "}";
}

std::string format_activation(const ActivationPlan& a, std::string_view indent) {
  std::string text = fmt::format("{{\n{0}  \"bits\": {1},\n{0}  \"asymmetric\": {2},\n{0}  \"search\": {3}", indent,
                                 a.bits, yes_no(a.asymmetric), format_search(a.search));
  if (a.factor) {
    text += fmt::format(",\n{0}  \"scale\": {1},\n{0}  \"offset\": {2},\n{0}  \"fixed\": {3}", indent, a.factor->scale,
                        a.factor->offset, yes_no(a.fixed));
  }
  return text + fmt::format("\n{}}}", indent);
}

std::string format_weight(const WeightPlan& weight, std::string_view indent) {
  std::string text = fmt::format("{{\n{0}  \"bits\": {1},\n{0}  \"per_channel\": {2},\n{0}  \"scales\": [{3}]", indent,
                                 weight.bits, yes_no(weight.per_channel), fmt::join(weight.scales, ", "));
  if (weight.group > 0) text += fmt::format(",\n{}  \"group\": {}", indent, weight.group);
  if (weight.steps > 0) {
    text += fmt::format(",\n{0}  \"steps\": {1},\n{0}  \"clusters\": [{2}]", indent, weight.steps,
                        fmt::join(weight.clusters, ", "));
  }
  return text + fmt::format("\n{}}}", indent);
}

std::string format_hidden(const HiddenPlan& hidden) {
  return fmt::format("{{\n        \"activation\": {},\n        \"weight\": {}\n      }}",
                     format_activation(hidden.activation, "        "), format_weight(hidden.weight, "        "));
}

std::string format_layer(const LayerPlan& layer) {
  std::string text =
      fmt::format("    {{\n      \"name\": {},\n      \"op\": {},\n      \"tensor\": {},\n      \"quantize\": {}",
                  quote(layer.name), quote(layer.op), quote(layer.tensor), yes_no(layer.quantize));
  if (!layer.reason.empty()) text += fmt::format(",\n      \"reason\": {}", quote(layer.reason));
  text += fmt::format(",\n      \"activation\": {}", format_activation(layer.activation, "      "));
  if (layer.weight) text += fmt::format(",\n      \"weight\": {}", format_weight(*layer.weight, "      "));
  if (layer.hidden) text += fmt::format(",\n      \"hidden\": {}", format_hidden(*layer.hidden));
  if (layer.balance_strength) text += fmt::format(",\n      \"balance_strength\": {}", *layer.balance_strength);
  if (!layer.balance_factors.empty()) {
    text += fmt::format(",\n      \"balance_factors\": [{}]", fmt::join(layer.balance_factors, ", "));
  }
  if (layer.second) {
    text += fmt::format(",\n      \"second_tensor\": {},\n      \"second\": {}", quote(layer.second_tensor),
                        format_activation(*layer.second, "      "));
  }
  if (!layer.shifts.empty()) text += fmt::format(",\n      \"shifts\": [{}]", fmt::join(layer.shifts, ", "));
  if (!layer.bias_correction.empty()) {
    text += fmt::format(",\n      \"bias_correction\": [{}]", fmt::join(layer.bias_correction, ", "));
  }
  return text + "\n    }";
}

// Of a plan for weights alone: their scales follow from the weights, and groups of a large model have millions.
std::string format_settings(LayerPlan layer) {
  if (layer.weight) layer.weight->scales.clear();
  if (layer.weight) layer.weight->clusters.clear();
  if (layer.hidden) layer.hidden->weight.scales.clear();
  return format_layer(layer);
}

std::string format_tensor(const TensorPlan& tensor) {
  std::string text = fmt::format("    {{\n      \"tensor\": {},\n      \"activation\": {}", quote(tensor.tensor),
                                 format_activation(tensor.activation, "      "));
  std::vector<std::string> uses;
  for (const InputUse& use : tensor.uses) {
    uses.push_back(fmt::format("{{\"node\": {}, \"input\": {}}}", quote(use.node), use.input));
  }
  if (!uses.empty()) text += fmt::format(",\n      \"uses\": [{}]", fmt::join(uses, ", "));
  return text + "\n    }";
}

std::string format_group(const std::vector<std::string>& group) {
  std::vector<std::string> names;
  for (const std::string& name : group) names.push_back(quote(name));
  return fmt::format("    [{}]", fmt::join(names, ", "));
}

std::string format_list(const std::vector<std::string>& items) {
  return items.empty() ? "[]" : fmt::format("[\n{}\n  ]", fmt::join(items, ",\n"));
}

}  // namespace

std::string format_plan(const Plan& plan) {
  std::vector<std::string> layers, tensors, groups, warnings, downgrades;
  for (const LayerPlan& layer : plan.layers) {
    layers.push_back(plan.weight_only ? format_settings(layer) : format_layer(layer));
  }
  for (const TensorPlan& tensor : plan.tensors) tensors.push_back(format_tensor(tensor));
  for (const std::vector<std::string>& group : plan.joint) groups.push_back(format_group(group));
  for (const std::string& warning : plan.warnings) warnings.push_back("    " + quote(warning));
  for (const std::string& downgrade : plan.downgrades) downgrades.push_back("    " + quote(downgrade));
  return fmt::format(
      "{{\n  \"version\": 1,\n  \"model\": {},\n  \"samples\": {},\n  \"isa\": {},\n"
      "  \"calibrate_with_quantized_weights\": {},\n{}  \"half_scales\": {},\n  \"search_shifts\": {},\n  "
      "\"correct_bias\": {},\n  \"layers\": "
      "{},\n  \"tensors\": {},\n  \"joint\": {},\n  "
      "\"warnings\": {},\n  \"downgrades\": {}\n}}\n",
      quote(plan.model), plan.samples, quote(plan.isa), yes_no(plan.calibrate_with_quantized_weights),
      plan.weight_only ? "  \"weight_only\": true,\n" : "", yes_no(plan.half_scales), yes_no(plan.search_shifts),
      yes_no(plan.correct_bias), format_list(layers), format_list(tensors), format_list(groups), format_list(warnings),
      format_list(downgrades));
}

}  // namespace amct
