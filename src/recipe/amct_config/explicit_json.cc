#include "recipe/amct_config/explicit_json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>

#include "base/suggestion.h"
#include "recipe/amct_config/option_table.h"
#include "recipe/json_tree.h"

namespace amct::config {
namespace {

using Json = nlohmann::ordered_json;
using Document = JsonFields::Document;
using Algorithm = WeightSettings::Algorithm;

constexpr const char* kForceFp16 = "FORCE_FP16_QUANT";

// ---- writing --------------------------------------------------------------------------------------------------------

Json to_json(const ActivationSettings& a) {
  Json json{{"num_bits", a.bits}};
  if (a.search.method == ClipSearch::Method::kHfmg) {
    json["act_algo"] = "hfmg";
    json["num_of_bins"] = a.search.bins;
  } else {
    json["act_algo"] = "ifmr";
    json["max_percentile"] = a.search.max_percentile;
    json["min_percentile"] = a.search.min_percentile;
    json["search_range"] = {a.search.search_start, a.search.search_end};
    json["search_step"] = a.search.search_step;
  }
  if (a.asymmetric) json["asymmetric"] = *a.asymmetric;
  return json;
}

Json to_json(const WeightSettings& w) {
  Json json{{"num_bits", w.bits}};
  switch (w.algorithm) {
    case Algorithm::kArq: json["wts_algo"] = "arq_quantize"; break;
    case Algorithm::kAdaRound:
      json["wts_algo"] = "ada_quantize";
      json["num_iteration"] = w.adaround.iterations;
      json["reg_param"] = w.adaround.reg_param;
      json["beta_range"] = {w.adaround.beta_start, w.adaround.beta_end};
      json["warm_start"] = w.adaround.warm_start;
      break;
    case Algorithm::kNuq:
      json["wts_algo"] = "nuq_quantize";
      json["num_steps"] = w.nuq.steps;
      json["num_of_iteration"] = w.nuq.iterations;
      break;
  }
  if (w.channel_wise) json["channel_wise"] = *w.channel_wise;
  return json;
}

Json names(const std::vector<Named>& items) {
  Json json = Json::array();
  for (const Named& item : items) json.push_back(item.name);
  return json;
}

// ---- reading --------------------------------------------------------------------------------------------------------

// A number of the option table's field, or of its half of a pair such as search_range.
double checked(JsonFields& fields, std::string_view message, std::string_view name, const JsonNode& at, double value) {
  const Legal& legal = field(message, name).legal;
  if (!legal.holds(value)) {
    fields.fault(at, fmt::format("{} of {} is {}, must be {}", name, fields.what(), value, legal.demand()));
  }
  return value;
}

void read_number(JsonFields& fields, std::string_view message, std::string_view name, const std::string& key,
                 double& to) {
  if (fields.read(key, to)) checked(fields, message, name, *fields.find(key), to);
}

template <typename Integer>
void read_integer(JsonFields& fields, std::string_view message, std::string_view name, const std::string& key,
                  Integer& to) {
  int64_t value = to;
  if (!fields.read(key, value)) return;
  checked(fields, message, name, *fields.find(key), static_cast<double>(value));
  to = static_cast<Integer>(value);
}

void read_pair(JsonFields& fields, std::string_view message, const std::string& key, const std::string& first,
               const std::string& second, double& a, double& b) {
  const JsonNode* at = fields.find(key);
  if (at == nullptr) return;
  if (at->kind != JsonNode::Kind::kArray || at->items.size() != 2 || at->items[0].kind != JsonNode::Kind::kNumber ||
      at->items[1].kind != JsonNode::Kind::kNumber) {
    fields.fault(*at, fmt::format("{} of {} must be two numbers: [start, end]", key, fields.what()));
    return;
  }
  a = checked(fields, message, first, at->items[0], at->items[0].number);
  b = checked(fields, message, second, at->items[1], at->items[1].number);
}

ActivationSettings read_activation(Document& document, const JsonNode& node, const std::string& owner) {
  ActivationSettings result;
  JsonFields fields(document, node, "activation_quant_params of " + owner);
  std::string algorithm = "ifmr";
  fields.read("act_algo", algorithm);
  if (algorithm == "hfmg") {
    result.search.method = ClipSearch::Method::kHfmg;
    read_integer(fields, "HFMGQuantize", "num_of_bins", "num_of_bins", result.search.bins);
  } else if (algorithm == "ifmr") {
    ClipSearch& s = result.search;
    read_number(fields, "FMRQuantize", "max_percentile", "max_percentile", s.max_percentile);
    read_number(fields, "FMRQuantize", "min_percentile", "min_percentile", s.min_percentile);
    read_pair(fields, "FMRQuantize", "search_range", "search_range_start", "search_range_end", s.search_start,
              s.search_end);
    read_number(fields, "FMRQuantize", "search_step", "search_step", s.search_step);
    if (!(s.search_start < s.search_end)) {
      fields.fault_in("search_range", fmt::format("search_range of {} must grow", fields.what()));
    } else if (s.search_step > s.search_end - s.search_start) {
      fields.fault_in("search_step", fmt::format("search_step of {} is longer than the search range", fields.what()));
    }
  } else {
    fields.fault_in("act_algo", fmt::format("act_algo of {} is '{}', must be ifmr or hfmg", fields.what(), algorithm));
  }
  bool asymmetric = true;
  if (fields.read("asymmetric", asymmetric)) result.asymmetric = asymmetric;
  if (fields.read("num_bits", result.bits) && result.bits != 8 && result.bits != 16) {
    fields.fault_in("num_bits", fmt::format("num_bits of {} is {}, must be 8 or 16", fields.what(), result.bits));
  }
  return result;
}

WeightSettings read_weight(Document& document, const JsonNode& node, const std::string& owner) {
  WeightSettings result;
  JsonFields fields(document, node, "weight_quant_params of " + owner);
  std::string algorithm = "arq_quantize";
  fields.read("wts_algo", algorithm);
  if (algorithm == "ada_quantize") {
    result.algorithm = Algorithm::kAdaRound;
    WeightSettings::AdaRound& a = result.adaround;
    read_integer(fields, "ADAquantize", "num_iteration", "num_iteration", a.iterations);
    read_number(fields, "ADAquantize", "reg_param", "reg_param", a.reg_param);
    read_pair(fields, "ADAquantize", "beta_range", "beta_range_start", "beta_range_end", a.beta_start, a.beta_end);
    read_number(fields, "ADAquantize", "warm_start", "warm_start", a.warm_start);
    if (!(a.beta_start > a.beta_end)) {
      fields.fault_in("beta_range", fmt::format("beta_range of {} must fall", fields.what()));
    }
  } else if (algorithm == "nuq_quantize") {
    result.algorithm = Algorithm::kNuq;
    read_integer(fields, "NUQuantize", "num_steps", "num_steps", result.nuq.steps);
    read_integer(fields, "NUQuantize", "num_of_iteration", "num_of_iteration", result.nuq.iterations);
  } else if (algorithm != "arq_quantize") {
    fields.fault_in("wts_algo",
                    fmt::format("wts_algo of {} is '{}', must be arq_quantize, ada_quantize or nuq_quantize",
                                fields.what(), algorithm));
  }
  bool channel_wise = false;
  if (fields.read("channel_wise", channel_wise)) result.channel_wise = channel_wise;
  read_integer(fields, "ARQuantize", "quant_bits", "num_bits", result.bits);
  return result;
}

LayerSettings read_layer(Document& document, const JsonNode::Member& member) {
  const Where at = document.place(member.position);
  LayerSettings layer{.layer = {member.key, at.line, at.column}};
  const std::string owner = fmt::format("layer '{}'", member.key);
  JsonFields fields(document, member.value, owner);
  fields.read("quant_enable", layer.quantize);
  double strength = 0;
  if (fields.read("dmq_balancer_param", strength)) {
    layer.settings.migration_strength =
        checked(fields, "DMQBalancer", "migration_strength", *fields.find("dmq_balancer_param"), strength);
  }
  if (const JsonNode* node = fields.find("activation_quant_params")) {
    layer.settings.activation = read_activation(document, *node, owner);
  }
  if (const JsonNode* node = fields.find("weight_quant_params")) {
    layer.settings.weight = read_weight(document, *node, owner);
  }
  return layer;
}

TensorSettings read_tensor(Document& document, const JsonNode& node) {
  TensorSettings tensor;
  JsonFields fields(document, node, "an item of tensor_quantize");
  fields.require("layer_name");
  fields.require("input_index");
  const Where at = document.place(node.position);
  tensor.layer = {{}, at.line, at.column};
  fields.read("layer_name", tensor.layer.name);
  read_integer(fields, "TensorQuantize", "input_index", "input_index", tensor.input_index);
  if (const JsonNode* settings = fields.find("activation_quant_params")) {
    tensor.activation = read_activation(document, *settings, fmt::format("tensor '{}'", tensor.layer.name));
  }
  return tensor;
}

std::vector<Named> read_names(Document& document, JsonFields& fields, const std::string& key) {
  std::vector<Named> result;
  for (const JsonNode& item : fields.items(key)) {
    const Where at = document.place(item.position);
    if (item.kind != JsonNode::Kind::kString) {
      fields.fault(item, fmt::format("an item of {} is no string", key));
    } else if (std::ranges::find(result, item.text, &Named::name) != result.end()) {
      fields.fault(item, fmt::format("'{}' stands twice in {}", item.text, key));
    } else {
      result.push_back({item.text, at.line, at.column});
    }
  }
  return result;
}

void read_model(Document& document, JsonFields& fields, ModelSettings& model) {
  int version = 1;
  fields.read("version", version);
  if (version != 1) {
    fields.fault_in("version", fmt::format("version is {}, this program reads version 1", version));
  }
  int64_t batch_num = 1;
  read_integer(fields, "AMCTConfig", "batch_num", "batch_num", batch_num);
  if (fields.find("batch_num") != nullptr) model.batch_num = batch_num;
  fields.read("activation_offset", model.activation_offset);
  fields.read("joint_quant", model.joint_quant);
  bool weight_offset = false;
  fields.read("weight_offset", weight_offset);
  if (weight_offset) fields.fault_in("weight_offset", "weight_offset must be false: weights are symmetric");
  fields.read("do_fusion", model.do_fusion);
  std::string mode = "DEFAULT";
  fields.read("fakequant_precision_mode", mode);
  model.force_fp16_quant = mode == kForceFp16;
  if (mode != kForceFp16 && mode != "DEFAULT") {
    fields.fault_in("fakequant_precision_mode",
                    fmt::format("fakequant_precision_mode is '{}', must be DEFAULT or {}", mode, kForceFp16));
  }
  model.skip_fusion_layers = read_names(document, fields, "skip_fusion_layers");
  for (const JsonNode& item : fields.items("tensor_quantize")) model.tensors.push_back(read_tensor(document, item));
}

}  // namespace

const std::vector<std::string>& model_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> result{"version"};
    for (const Field& f : messages().front().fields) {
      if (!f.json.empty()) result.emplace_back(f.json);
    }
    return result;
  }();
  return keys;
}

std::string format_explicit(const ExplicitConfig& config) {
  const ModelSettings& model = config.model;
  Json json{{"version", 1},
            {"batch_num", model.batch_num.value_or(1)},
            {"activation_offset", model.activation_offset},
            {"joint_quant", model.joint_quant},
            {"weight_offset", false},
            {"do_fusion", model.do_fusion},
            {"skip_fusion_layers", names(model.skip_fusion_layers)}};
  if (model.force_fp16_quant) json["fakequant_precision_mode"] = kForceFp16;
  if (!model.tensors.empty()) {
    Json& tensors = json["tensor_quantize"] = Json::array();
    for (const TensorSettings& tensor : model.tensors) {
      tensors.push_back({{"layer_name", tensor.layer.name},
                         {"input_index", tensor.input_index},
                         {"activation_quant_params", to_json(tensor.activation)}});
    }
  }
  for (const LayerSettings& layer : config.layers) {
    Json& entry = json[layer.layer.name];
    entry["quant_enable"] = layer.quantize;
    if (layer.settings.migration_strength) entry["dmq_balancer_param"] = *layer.settings.migration_strength;
    entry["activation_quant_params"] = to_json(layer.settings.activation);
    entry["weight_quant_params"] = to_json(layer.settings.weight);
  }
  return json.dump(2) + "\n";
}

ExplicitConfig parse_explicit(std::string_view text, const std::string& file) {
  const JsonNode root = parse_json_tree(text, file);
  Document document(text, file);
  ExplicitConfig config;
  const auto is_of_model = [](const JsonNode::Member& member) {
    return std::ranges::find(model_keys(), member.key) != model_keys().end();
  };
  JsonNode model{.kind = root.kind, .position = root.position};
  std::ranges::copy_if(root.members, std::back_inserter(model.members), is_of_model);
  {
    JsonFields fields(document, model, "the configuration");
    read_model(document, fields, config.model);
  }
  std::unordered_set<std::string_view> layers;
  for (const JsonNode::Member& member : root.members) {
    if (is_of_model(member)) continue;
    if (member.value.kind != JsonNode::Kind::kObject) {
      document.fault(member.position, fmt::format("the configuration has no field '{}'", member.key),
                     suggestion(member.key, model_keys(), "layers are objects"));
      continue;
    }
    if (!layers.insert(member.key).second) {
      document.fault(member.position, fmt::format("layer '{}' stands twice", member.key));
      continue;
    }
    config.layers.push_back(read_layer(document, member));
  }
  document.faults.throw_if_any();
  return config;
}

}  // namespace amct::config
