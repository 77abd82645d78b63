#include "workflow/config_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/files.h"
#include "base/suggestion.h"
#include "passes/quantize/program_ends.h"
#include "passes/quantize/tensor_inputs.h"
#include "recipe/amct_config/cfg_file.h"
#include "recipe/amct_config/explicit_json.h"
#include "recipe/amct_config/mapping_file.h"
#include "recipe/json_tree.h"
#include "workflow/plan_settings.h"

namespace amct {
namespace {

using config::CalibrationSettings;
using config::ExplicitConfig;
using config::ModelSettings;
using config::Named;
using config::SimpleConfig;
using Algorithm = config::WeightSettings::Algorithm;

// A plan has its layers in one array, AMCT's JSON has them as members.
bool is_plan(const JsonNode& root) {
  return std::ranges::any_of(root.members, [](const JsonNode::Member& member) {
    return (member.key == "layers" || member.key == "tensors") && member.value.kind == JsonNode::Kind::kArray;
  });
}

void refuse(const std::string& what, const std::string& file, Faults& faults) {
  faults.add(Error(ErrorCode::kUnsupported, what + " is not offered yet", {.file = file}));
}

void check_offered(const ExplicitConfig& config, const std::string& file) {
  Faults faults;
  const auto any = [&](auto&& test) {
    return std::ranges::any_of(config.layers,
                               [&](const auto& layer) { return layer.quantize && test(layer.settings); });
  };
  const auto uses = [&](Algorithm algorithm) {
    return any([&](const CalibrationSettings& s) { return s.weight.algorithm == algorithm; });
  };
  if (uses(Algorithm::kAdaRound)) refuse("ada_quantize", file, faults);
  faults.throw_if_any();
}

void keep_float(LayerPlan& layer, const std::string& reason) {
  if (layer.quantize) layer.reason = reason;
  layer.quantize = false;
}

void apply_layer(const CalibrationSettings& settings, const ModelSettings& model, LayerPlan& layer) {
  const bool may_shift = layer.activation.asymmetric;
  layer.activation.bits = settings.activation.bits;
  layer.activation.search = settings.activation.search;
  layer.activation.asymmetric = may_shift && settings.activation.asymmetric.value_or(model.activation_offset);
  layer.balance_strength = settings.migration_strength;
  if (layer.second) layer.second->search = layer.activation.search;
  if (!layer.weight) return;
  if (layer.hidden) {
    layer.hidden->activation = layer.activation;
    layer.hidden->weight.per_channel = settings.weight.channel_wise.value_or(layer.hidden->weight.per_channel);
  }
  layer.weight->bits = settings.weight.bits;
  layer.weight->steps = settings.weight.algorithm == Algorithm::kNuq ? settings.weight.nuq.steps : 0;
  layer.weight->per_channel = settings.weight.channel_wise.value_or(layer.weight->per_channel);
}

// Inputs of operators without weights that the configuration chooses.
void apply_tensors(const ModelSettings& model, const Graph& graph, const std::string& file, Plan& plan,
                   Faults& faults) {
  InputPlanner planner(graph, plan);
  const ProgramEnds ends(graph);
  std::set<std::pair<std::string, int64_t>> seen;
  for (const config::TensorSettings& given : model.tensors) {
    const Named& at = given.layer;
    const auto fault = [&](const std::string& what, const std::string& hint) {
      faults.add(Error(ErrorCode::kConfig, what, {.file = file, .line = at.line, .column = at.column}, hint));
    };
    const NodeId id = graph.find_node(at.name);
    if (!id.valid()) {
      std::vector<std::string> known;
      for (const NodeId node : graph.nodes()) known.push_back(graph.node(node).name);
      fault(fmt::format("tensor_quantize: the fused model has no node '{}'", at.name),
            suggestion(at.name, known, "'amct inspect' lists the nodes"));
      continue;
    }
    std::string reason = reason_against_input(graph, graph.node(id), given.input_index);
    if (reason.empty()) reason = ends.reason(graph.node(id));
    if (!reason.empty()) {
      fault(
          fmt::format("tensor_quantize: input {} of '{}' cannot be quantized: {}", given.input_index, at.name, reason),
          fmt::format("it may be an input of {}", fmt::join(tensor_types(), ", ")));
      continue;
    }
    if (!seen.emplace(at.name, given.input_index).second) {
      fault(fmt::format("tensor_quantize: input {} of '{}' stands twice", given.input_index, at.name), "take one out");
      continue;
    }
    if (given.activation.bits != 8) {
      fault(fmt::format("tensor_quantize: input {} of '{}' cannot have 16 bits", given.input_index, at.name),
            "dst_type INT16 is for layers with a weight");
      continue;
    }
    const ActivationPlan activation{.bits = given.activation.bits,
                                    .asymmetric = given.activation.asymmetric.value_or(model.activation_offset),
                                    .search = given.activation.search};
    if (!same_settings(planner.add(id, given.input_index, activation).activation, activation)) {
      fault(fmt::format("tensor_quantize: input {} of '{}' is a tensor that stands here before, with other settings",
                        given.input_index, at.name),
            "give both the same settings");
    }
  }
}

void apply_explicit(const ExplicitConfig& config, const Graph& graph, const std::string& file, Plan& plan) {
  check_offered(config, file);
  plan.half_scales = config.model.force_fp16_quant;
  Faults faults;
  std::vector<std::string> known;
  std::unordered_map<std::string, LayerPlan*> left;  // layers that the configuration has not named yet
  for (LayerPlan& layer : plan.layers) {
    known.push_back(layer.name);
    left.emplace(layer.name, &layer);
  }
  for (const config::LayerSettings& given : config.layers) {
    const Named& at = given.layer;
    const auto found = left.extract(at.name);
    LayerPlan* layer = found ? found.mapped() : nullptr;
    if (layer == nullptr) {
      faults.add(Error(ErrorCode::kConfig, fmt::format("the model has no layer '{}'", at.name),
                       {.file = file, .line = at.line, .column = at.column},
                       suggestion(at.name, known, "'amct inspect' lists the layers")));
      continue;
    }
    if (!given.quantize) {
      keep_float(*layer, "the configuration skips it");
    } else if (!layer->quantize) {
      plan.warnings.push_back(fmt::format("{} stays float: {}", layer->name, layer->reason));
    } else {
      CalibrationSettings settings = given.settings;
      for (std::string& line : downgrade(graph, *layer, settings)) plan.downgrades.push_back(std::move(line));
      apply_layer(settings, config.model, *layer);
    }
  }
  for (const auto& [name, layer] : left) keep_float(*layer, "the configuration does not list it");
  apply_tensors(config.model, graph, file, plan, faults);
  if (faults.empty() && std::ranges::none_of(plan.layers, &LayerPlan::quantize)) {
    faults.add(Error(ErrorCode::kConfig, "no layer is enabled: nothing is left to quantize", {.file = file}));
  }
  faults.throw_if_any();
  if (config.model.joint_quant) plan_joint(graph, plan);
}

// The mapping file lies where the configuration says, seen from the working folder or from the configuration.
void read_mapping(SimpleConfig& simple, const std::filesystem::path& config) {
  if (!simple.nuq_mapping_file) return;
  std::filesystem::path file = *simple.nuq_mapping_file;
  std::error_code error;
  const std::filesystem::path beside = config.parent_path() / file;
  if (!std::filesystem::exists(file, error) && std::filesystem::exists(beside, error)) file = beside;
  simple.nuq_layers = config::parse_mapping(read_text(file), file.string());
}

}  // namespace

ConfigFile ConfigFile::read(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  const std::string file = path.string();
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '{') {
    SimpleConfig simple = config::parse_cfg(text, file);
    read_mapping(simple, path);
    return {file, std::move(simple)};
  }
  if (is_plan(parse_json_tree(text, file))) return {file, parse_plan(text, file)};
  return {file, config::parse_explicit(text, file)};
}

const ModelSettings* ConfigFile::model_settings() const {
  if (const auto* simple = std::get_if<SimpleConfig>(&content_)) return &simple->model;
  if (const auto* full = std::get_if<ExplicitConfig>(&content_)) return &full->model;
  return nullptr;
}

bool ConfigFile::fuses() const { return model_settings() == nullptr || model_settings()->do_fusion; }

std::vector<std::string> ConfigFile::skip_fusion() const {
  std::vector<std::string> result;
  if (const ModelSettings* model = model_settings()) {
    for (const Named& layer : model->skip_fusion_layers) result.push_back(layer.name);
  }
  return result;
}

std::optional<int64_t> ConfigFile::batch_num() const {
  if (const ModelSettings* model = model_settings()) return model->batch_num;
  return std::nullopt;
}

void ConfigFile::apply(const Graph& graph, Plan& plan) const {
  if (const auto* read = std::get_if<PlanFile>(&content_)) return apply_settings(*read, path_, graph, plan);
  if (const auto* full = std::get_if<ExplicitConfig>(&content_)) return apply_explicit(*full, graph, path_, plan);
  const auto& simple = std::get<SimpleConfig>(content_);
  ExpandedConfig expanded = expand_config(simple, graph, plan, path_);
  plan.downgrades.insert(plan.downgrades.end(), expanded.downgrades.begin(), expanded.downgrades.end());
  plan.warnings.insert(plan.warnings.end(), expanded.notes.begin(), expanded.notes.end());
  apply_explicit(expanded.config, graph, path_, plan);
}

ExpandedConfig ConfigFile::expand(const Graph& graph, const Plan& plan) const {
  if (const auto* full = std::get_if<ExplicitConfig>(&content_)) return {*full, {}, {}};
  if (const auto* simple = std::get_if<SimpleConfig>(&content_)) {
    return expand_config(*simple, graph, plan, path_);
  }
  throw Error(ErrorCode::kConfig, "this is a plan, which is explicit already", {.file = path_}, "edit it as it is");
}

}  // namespace amct
