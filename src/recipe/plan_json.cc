#include "recipe/plan_json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/suggestion.h"
#include "recipe/json_tree.h"

namespace amct {
namespace {

using Document = JsonFields::Document;

void read_percentile(JsonFields& fields, const std::string& key, double& to) {
  if (fields.read(key, to) && !(to > 0.5 && to <= 1)) {
    fields.fault_in(key, fmt::format("{} of {} is {}, must be in (0.5, 1]", key, fields.what(), to));
  }
}

ClipSearch read_search(Document& document, const JsonNode& node, const std::string& owner) {
  ClipSearch search;
  JsonFields fields(document, node, "search of " + owner);
  std::string method = "ifmr";
  fields.read("method", method);
  const auto known = clip_method(method);
  if (!known) {
    fields.fault_in("method", fmt::format("method of {} is '{}', must be ifmr, min_max, percentile, mse, kl or hfmg",
                                          fields.what(), method));
  } else {
    search.method = *known;
  }
  read_percentile(fields, "max_percentile", search.max_percentile);
  read_percentile(fields, "min_percentile", search.min_percentile);
  if (fields.read("bins", search.bins) && search.bins != 1024 && search.bins != 2048 && search.bins != 4096 &&
      search.bins != 8192) {
    fields.fault_in("bins",
                    fmt::format("bins of {} is {}, must be 1024, 2048, 4096 or 8192", fields.what(), search.bins));
  }
  fields.read("search_start", search.search_start);
  fields.read("search_end", search.search_end);
  fields.read("search_step", search.search_step);
  if (!(search.search_start > 0 && search.search_start < search.search_end)) {
    fields.fault(fmt::format("{} needs 0 < search_start < search_end", fields.what()));
  } else if (!(search.search_step > 0 && search.search_step <= search.search_end - search.search_start)) {
    fields.fault(fmt::format("{} needs 0 < search_step <= search_end - search_start", fields.what()));
  }
  return search;
}

void read_bits(JsonFields& fields, int& bits, std::initializer_list<int> legal) {
  if (fields.read("bits", bits) && std::find(legal.begin(), legal.end(), bits) == legal.end()) {
    fields.fault_in("bits",
                    fmt::format("bits of {} is {}, must be one of {}", fields.what(), bits, fmt::join(legal, ", ")));
  }
}

ActivationPlan read_activation(Document& document, const JsonNode& node, const std::string& owner) {
  ActivationPlan plan;
  JsonFields fields(document, node, "activation of " + owner);
  read_bits(fields, plan.bits, {4, 8, 16});
  fields.read("asymmetric", plan.asymmetric);
  if (const JsonNode* search = fields.find("search")) plan.search = read_search(document, *search, owner);
  ScaleOffset factor;
  const bool scale = fields.read_scale("scale", factor.scale);
  const bool offset = fields.read("offset", factor.offset);
  if (scale || offset) plan.factor = factor;
  if (scale != offset) fields.fault(fmt::format("{} needs both scale and offset, or neither", fields.what()));
  const int64_t half = plan.bits > 0 && plan.bits <= 16 ? int64_t{1} << (plan.bits - 1) : 1;
  if (offset && (factor.offset < -half || factor.offset >= half)) {
    fields.fault_in("offset", fmt::format("offset of {} is {}, must be in [{}, {}]", fields.what(), factor.offset,
                                          -half, half - 1));
  }
  if (offset && !plan.asymmetric && factor.offset != 0) {
    fields.fault_in("offset",
                    fmt::format("offset of {} is {}, must be 0: it is symmetric", fields.what(), factor.offset));
  }
  fields.read("fixed", plan.fixed);
  if (plan.fixed && !plan.factor)
    fields.fault_in("fixed", fmt::format("{} is fixed, but has no scale and offset", fields.what()));
  return plan;
}

WeightPlan read_weight(Document& document, const JsonNode& node, const std::string& owner, bool by_gates) {
  WeightPlan plan;
  JsonFields fields(document, node, "weight of " + owner);
  read_bits(fields, plan.bits, {4, 6, 7, 8});
  fields.read("per_channel", plan.per_channel);
  if (fields.read("group", plan.group) && (plan.group < 0 || plan.group % kLeastWeightGroup != 0)) {
    fields.fault_in("group", fmt::format("group of {} is {}, must be 0 or a multiple of {}", fields.what(), plan.group,
                                         kLeastWeightGroup));
  }
  if (fields.read("steps", plan.steps) && plan.steps != 0 && plan.steps != 16 && plan.steps != 32) {
    fields.fault_in("steps", fmt::format("steps of {} is {}, must be 0, 16 or 32", fields.what(), plan.steps));
  }
  for (const JsonNode& item : fields.items("clusters")) {
    if (item.kind != JsonNode::Kind::kNumber || !(std::abs(item.number + 0.5) < 128)) {
      fields.fault(item, fmt::format("a cluster of {} is no integer in [-128, 127]", fields.what()));
    } else {
      plan.clusters.push_back(static_cast<int>(item.number));
    }
  }
  for (const JsonNode& item : fields.items("scales")) {
    const auto scale = static_cast<float>(item.number);
    if (item.kind != JsonNode::Kind::kNumber || !(scale > 0) || !std::isfinite(scale)) {
      fields.fault(item, fmt::format("a scale of {} is no number above 0", fields.what()));
    }
    plan.scales.push_back(scale);
  }
  if (!plan.per_channel && plan.group == 0 && plan.scales.size() > (by_gates ? 4 : 1)) {
    fields.fault_in("scales",
                    fmt::format("{} has {} scales, but is not per channel", fields.what(), plan.scales.size()));
  }
  return plan;
}

std::vector<float> read_numbers(JsonFields& fields, const std::string& key) {
  std::vector<float> numbers;
  for (const JsonNode& item : fields.items(key)) {
    const auto value = static_cast<float>(item.number);
    if (item.kind != JsonNode::Kind::kNumber || !std::isfinite(value)) {
      fields.fault(item, fmt::format("an item of {} of {} is no number", key, fields.what()));
    }
    numbers.push_back(value);
  }
  return numbers;
}

HiddenPlan read_hidden(Document& document, const JsonNode& node, const std::string& owner, const LayerPlan& layer) {
  const std::string state = "the state of " + owner;
  HiddenPlan hidden{.activation = layer.activation, .weight = {}};
  JsonFields fields(document, node, state);
  if (const JsonNode* activation = fields.find("activation")) {
    hidden.activation = read_activation(document, *activation, state);
  }
  if (const JsonNode* weight = fields.find("weight")) hidden.weight = read_weight(document, *weight, state, true);
  if (hidden.activation.bits != layer.activation.bits) {
    fields.fault(fmt::format("{} has {} bits and its input {}; the deploy operator has one type for both", state,
                             hidden.activation.bits, layer.activation.bits));
  }
  return hidden;
}

LayerPlan read_layer(Document& document, const JsonNode& node) {
  LayerPlan layer;
  for (const auto& member : node.members) {
    if (member.key == "name" && member.value.kind == JsonNode::Kind::kString) layer.name = member.value.text;
  }
  const std::string owner = fmt::format("layer '{}'", layer.name);
  JsonFields fields(document, node, owner);
  fields.require("name");
  fields.read("name", layer.name);
  fields.read("op", layer.op);
  fields.read("tensor", layer.tensor);
  fields.read("quantize", layer.quantize);
  fields.read("reason", layer.reason);
  if (const JsonNode* activation = fields.find("activation")) {
    layer.activation = read_activation(document, *activation, owner);
  }
  const JsonNode* hidden = fields.find("hidden");
  if (const JsonNode* weight = fields.find("weight")) {
    layer.weight = read_weight(document, *weight, owner, hidden != nullptr);
  }
  if (hidden != nullptr) layer.hidden = read_hidden(document, *hidden, owner, layer);
  double strength = 0;
  if (fields.read("balance_strength", strength)) {
    if (!(strength >= 0.2 && strength <= 0.8)) {
      fields.fault_in("balance_strength",
                      fmt::format("balance_strength of {} is {}, must be in [0.2, 0.8]", owner, strength));
    }
    layer.balance_strength = strength;
  }
  layer.balance_factors = read_numbers(fields, "balance_factors");
  layer.bias_correction = read_numbers(fields, "bias_correction");
  for (const float shift : read_numbers(fields, "shifts")) {
    if (shift >= 1 && shift <= 16) {
      layer.shifts.push_back(static_cast<int>(shift));
    } else {
      fields.fault_in("shifts", fmt::format("a shift of {} is {}, must be in [1, 16]", owner, shift));
    }
  }
  fields.read("second_tensor", layer.second_tensor);
  if (const JsonNode* second = fields.find("second")) {
    layer.second = read_activation(document, *second, "the second input of " + owner);
  }
  return layer;
}

TensorPlan read_tensor(Document& document, const JsonNode& node) {
  TensorPlan tensor;
  JsonFields fields(document, node, "tensor");
  fields.require("tensor");
  fields.read("tensor", tensor.tensor);
  if (const JsonNode* activation = fields.find("activation")) {
    tensor.activation = read_activation(document, *activation, fmt::format("tensor '{}'", tensor.tensor));
  }
  for (const JsonNode& item : fields.items("uses")) {
    JsonFields use(document, item, fmt::format("a use of tensor '{}'", tensor.tensor));
    InputUse& to = tensor.uses.emplace_back();
    use.require("node");
    use.read("node", to.node);
    if (use.read("input", to.input) && to.input < 0) use.fault_in("input", use.what() + " has a negative input");
  }
  return tensor;
}

std::vector<std::string> read_group(Document& document, const JsonNode& node) {
  std::vector<std::string> group;
  if (node.kind != JsonNode::Kind::kArray) document.fault(node.position, "an item of joint must be a list of tensors");
  for (const JsonNode& item : node.items) {
    if (item.kind != JsonNode::Kind::kString) document.fault(item.position, "a tensor of joint must be a string");
    group.push_back(item.text);
  }
  return group;
}

void read_lines(JsonFields& fields, const std::string& key, std::vector<std::string>& to) {
  for (const JsonNode& item : fields.items(key)) {
    if (item.kind != JsonNode::Kind::kString) fields.fault(item, fmt::format("an item of {} must be a string", key));
    to.push_back(item.text);
  }
}

void read_plan(Document& document, const JsonNode& root, PlanFile& result) {
  JsonFields fields(document, root, "the plan");
  Plan& plan = result.plan;
  int version = 1;
  fields.read("version", version);
  if (version != 1)
    fields.fault_in("version", fmt::format("version of the plan is {}, this program reads version 1", version));
  fields.read("model", plan.model);
  fields.read("samples", plan.samples);
  if (plan.samples < 0) fields.fault_in("samples", "samples of the plan must not be negative");
  fields.read("isa", plan.isa);
  fields.read("calibrate_with_quantized_weights", plan.calibrate_with_quantized_weights);
  fields.read("weight_only", plan.weight_only);
  fields.read("half_scales", plan.half_scales);
  fields.read("search_shifts", plan.search_shifts);
  fields.read("correct_bias", plan.correct_bias);
  std::set<std::string> names, tensors;
  for (const JsonNode& item : fields.items("layers")) {
    plan.layers.push_back(read_layer(document, item));
    result.layer_lines.push_back(document.place(item.position).line);
    const std::string& name = plan.layers.back().name;
    if (!names.insert(name).second) fields.fault(item, fmt::format("a second layer '{}'", name));
  }
  for (const JsonNode& item : fields.items("tensors")) {
    plan.tensors.push_back(read_tensor(document, item));
    result.tensor_lines.push_back(document.place(item.position).line);
    const std::string& name = plan.tensors.back().tensor;
    if (!tensors.insert(name).second) fields.fault(item, fmt::format("a second tensor '{}'", name));
  }
  for (const JsonNode& item : fields.items("joint")) plan.joint.push_back(read_group(document, item));
  read_lines(fields, "warnings", plan.warnings);
  read_lines(fields, "downgrades", plan.downgrades);
}

}  // namespace

PlanFile parse_plan(std::string_view text, const std::string& file) {
  const JsonNode root = parse_json_tree(text, file);
  Document document(text, file);
  PlanFile result;
  read_plan(document, root, result);
  document.faults.throw_if_any();
  return result;
}

void check_plan_fits(const PlanFile& read, const Plan& expected, const std::string& file) {
  Faults faults;
  std::vector<std::string> layers, tensors;
  std::unordered_set<std::string_view> known_layers, known_tensors;
  for (const LayerPlan& layer : expected.layers) {
    layers.push_back(layer.name);
    known_layers.insert(layer.name);
  }
  for (const TensorPlan& tensor : expected.tensors) {
    tensors.push_back(tensor.tensor);
    known_tensors.insert(tensor.tensor);
  }
  const auto unknown = [&](const char* kind, const std::string& name, const std::vector<std::string>& known, int line) {
    faults.add(Error(ErrorCode::kConfig, fmt::format("the model has no {} '{}'", kind, name),
                     {.file = file, .line = line}, suggestion(name, known)));
  };
  for (size_t i = 0; i < read.plan.layers.size(); ++i) {
    const std::string& name = read.plan.layers[i].name;
    if (!known_layers.contains(name)) unknown("layer", name, layers, read.layer_lines[i]);
  }
  for (size_t i = 0; i < read.plan.tensors.size(); ++i) {
    const std::string& name = read.plan.tensors[i].tensor;
    if (!known_tensors.contains(name)) unknown("tensor", name, tensors, read.tensor_lines[i]);
  }
  faults.throw_if_any();
}

}  // namespace amct
