#include "workflow/expand_config.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/suggestion.h"
#include "ops/op_row.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/recurrent_weights.h"
#include "recipe/amct_config/explicit_json.h"

namespace amct {
namespace {

using config::CalibrationSettings;
using config::Named;
using config::SimpleConfig;
using Algorithm = config::WeightSettings::Algorithm;

const Tensor* weight_of(const Graph& graph, const Node& node) {
  const int port = node.row->quant.compute_rule().weight_port;
  return port >= 0 ? graph.constant(node.input(static_cast<size_t>(port))) : nullptr;
}

bool is_convolution(const Node& node) { return node.op == "conv" || node.op == "conv_transpose"; }

// Why the layer cannot have such weights; empty if it can.
std::string reason_against_bits(const Graph& graph, const Node& node, int bits) {
  const Tensor* weight = weight_of(graph, node);
  if (weight == nullptr || bits == 8) return {};
  if (bits == 6 || bits == 7) {
    return node.op == "conv" && weight->rank() == 4 ? "" : "it is no two-dimensional convolution";
  }
  if (is_recurrent(node)) return "it is a recurrent layer";
  if (!is_convolution(node)) return {};
  if (node.attrs.get<int64_t>("group", 1) > 1) return "it is a grouped convolution";
  const int64_t inputs = weight->dims()[node.op == "conv" ? 1 : 0];
  return inputs % 2 != 0 ? "it has an odd number of input channels" : "";
}

}  // namespace

std::string reason_against_steps(const Graph& graph, const LayerPlan& layer) {
  const Node& node = graph.node(graph.find_node(layer.name));
  if (node.op == "gemm") return {};
  const Tensor* weight = weight_of(graph, node);
  if (node.op != "conv" || weight == nullptr || weight->rank() != 4)
    return "it is no two-dimensional convolution or Gemm";
  const auto dilations = node.attrs.get<std::vector<int64_t>>("dilations", {});
  return std::ranges::all_of(dilations, [](int64_t d) { return d == 1; }) ? "" : "it is dilated";
}

namespace {

class Expander {
 public:
  Expander(const SimpleConfig& simple, const Graph& graph, const Plan& plan, const std::string& file)
      : simple_(simple), graph_(graph), plan_(plan), file_(file), types_(quantizable_types()) {
    for (const LayerPlan& layer : plan.layers) layers_.push_back(layer.name);
  }

  ExpandedConfig run() {
    check_names();
    ExpandedConfig result;
    result.config.model = simple_.model;
    for (const LayerPlan& layer : plan_.layers) {
      if (layer.quantize) result.config.layers.push_back(expand(layer, result.downgrades));
    }
    if (!result.config.layers.empty() && std::ranges::none_of(result.config.layers, &config::LayerSettings::quantize)) {
      faults_.add(Error(ErrorCode::kConfig, "every layer is skipped: nothing is left to quantize", {.file = file_}));
    }
    for (const Named& layer : simple_.skip_approximation_layers) {
      result.notes.push_back(
          fmt::format("skip_approximation_layers: '{}' stays as it is: no operator is approximated", layer.name));
    }
    faults_.throw_if_any();
    return result;
  }

 private:
  void fault(const Named& at, const std::string& what, const std::string& hint = {}) {
    faults_.add(Error(ErrorCode::kConfig, what, {.file = file_, .line = at.line, .column = at.column}, hint));
  }

  void check_layer(const Named& name) {
    const LayerPlan* layer = plan_.find(name.name);
    if (layer == nullptr) {
      fault(name, fmt::format("the model has no layer '{}'", name.name),
            suggestion(name.name, layers_, "'amct inspect' lists the layers"));
    } else if (!layer->quantize) {
      fault(name, fmt::format("layer '{}' cannot be quantized: {}", name.name, layer->reason), "take it out");
    }
  }

  void check_type(const Named& name) {
    if (std::ranges::find(types_, name.name) != types_.end()) return;
    fault(name, fmt::format("'{}' is no operator whose layers are quantized", name.name),
          suggestion(name.name, types_, "'amct ops' lists them"));
  }

  void check_names() {
    for (const Named& name : simple_.skip_layers) check_layer(name);
    for (const Named& name : simple_.skip_layer_types) check_type(name);
    for (const auto& [name, settings] : simple_.types) check_type(name);
    for (const auto& [name, settings] : simple_.layers) check_layer(name);
    const auto known = [&](const std::string& name) { return plan_.find(name) != nullptr; };
    if (simple_.nuq_mapping_file && std::ranges::none_of(simple_.nuq_layers, known)) {
      fault({}, fmt::format("the mapping file '{}' names no layer of the model", *simple_.nuq_mapping_file));
    }
    for (const std::string& layer : layers_) {
      if (std::ranges::find(config::model_keys(), layer) == config::model_keys().end()) continue;
      fault({}, fmt::format("layer '{}' has the name of a field of the configuration", layer),
            "rename it in the model, or use a plan file");
    }
  }

  const CalibrationSettings* settings_of(const std::vector<std::pair<Named, CalibrationSettings>>& list,
                                         const std::string& name) const {
    const auto at = std::ranges::find(list, name, [](const auto& item) { return item.first.name; });
    return at == list.end() ? nullptr : &at->second;
  }

  const CalibrationSettings* common_for(const LayerPlan& layer) const {
    if (simple_.common) return &*simple_.common;
    if (!simple_.types.empty()) return nullptr;
    const auto& older = layer.weight && layer.weight->per_channel ? simple_.conv : simple_.fc;
    return older ? &*older : nullptr;
  }

  config::LayerSettings expand(const LayerPlan& layer, std::vector<std::string>& downgrades) {
    const std::string type = foreign_type(graph_.node(graph_.find_node(layer.name)));
    const CalibrationSettings* own = settings_of(simple_.layers, layer.name);
    const CalibrationSettings* of_type = settings_of(simple_.types, type);
    const CalibrationSettings* common = common_for(layer);
    const CalibrationSettings* chosen = own != nullptr ? own : of_type != nullptr ? of_type : common;

    config::LayerSettings result{.layer = {layer.name}};
    if (chosen != nullptr) result.settings = *chosen;
    const bool mapped = std::ranges::find(simple_.nuq_layers, layer.name) != simple_.nuq_layers.end();
    if (mapped && layer.weight && own == nullptr && of_type == nullptr) {
      result.settings.weight.algorithm = Algorithm::kNuq;
      result.settings.weight.bits = 8;
      result.settings.weight.nuq = simple_.nuq.value_or(config::WeightSettings::Nuq{});
    }
    result.quantize = std::ranges::find(simple_.skip_layers, layer.name, &Named::name) == simple_.skip_layers.end() &&
                      std::ranges::find(simple_.skip_layer_types, type, &Named::name) == simple_.skip_layer_types.end();
    auto& asymmetric = result.settings.activation.asymmetric;
    for (const CalibrationSettings* wider : {of_type, common}) {
      const bool same_method =
          wider != nullptr && wider->activation.search.method == result.settings.activation.search.method;
      if (!asymmetric && same_method) asymmetric = wider->activation.asymmetric;
    }
    const std::vector<std::string> lines = downgrade(graph_, layer, result.settings);
    if (own == nullptr && of_type == nullptr) {
      downgrades.insert(downgrades.end(), lines.begin(), lines.end());
    } else {
      const auto& list = own != nullptr ? simple_.layers : simple_.types;
      const std::string& key = own != nullptr ? layer.name : type;
      const auto at = std::ranges::find(list, key, [](const auto& item) { return item.first.name; });
      for (const std::string& line : lines) fault(at->first, line, "change the override");
    }
    if (!asymmetric) asymmetric = simple_.model.activation_offset && layer.activation.asymmetric;
    if (layer.weight && !result.settings.weight.channel_wise) {
      result.settings.weight.channel_wise = layer.weight->per_channel;
    }
    return result;
  }

  const SimpleConfig& simple_;
  const Graph& graph_;
  const Plan& plan_;
  const std::string& file_;
  std::vector<std::string> types_;
  std::vector<std::string> layers_;
  Faults faults_;
};

}  // namespace

std::vector<std::string> downgrade(const Graph& graph, const LayerPlan& layer, CalibrationSettings& settings) {
  const Node& node = graph.node(graph.find_node(layer.name));
  std::vector<std::string> lines;
  const auto say = [&](const std::string& now, const std::string& reason) {
    lines.push_back(fmt::format("{} {}: {}", layer.name, now, reason));
  };
  if (settings.activation.asymmetric.value_or(false) && !layer.activation.asymmetric) {
    settings.activation.asymmetric = false;
    say("has a symmetric activation", "its operator allows no offset");
  }
  if (settings.activation.bits != 8 && !layer.weight) {
    say(fmt::format("has an 8-bit activation instead of {}", settings.activation.bits), "it has no weight");
    settings.activation.bits = 8;
  }
  if (settings.migration_strength && (!layer.weight || layer.hidden)) {
    settings.migration_strength.reset();
    say("is not balanced", layer.hidden ? "it is a recurrent layer" : "it has no weight");
  }
  if (!layer.weight) {
    settings.weight = {};
    return lines;
  }
  if (settings.weight.channel_wise.value_or(false) && !layer.weight->per_channel) {
    settings.weight.channel_wise = false;
    say("has one weight scale instead of one per channel", "its operator takes no more");
  }
  if (settings.weight.algorithm == Algorithm::kNuq) {
    if (const std::string reason = reason_against_steps(graph, layer); !reason.empty()) {
      settings.weight.algorithm = Algorithm::kArq;
      say("has uniform weights", reason);
    }
  }
  if (const std::string reason = reason_against_bits(graph, node, settings.weight.bits); !reason.empty()) {
    say(fmt::format("has 8-bit weights instead of {}", settings.weight.bits), reason);
    settings.weight.bits = 8;
  }
  if (settings.activation.bits == 4 && (layer.hidden || settings.weight.bits != 4)) {
    settings.activation.bits = 8;
    say("has an 8-bit activation instead of 4", layer.hidden ? "it is a recurrent layer" : "its weights have 8 bits");
  }
  return lines;
}

ExpandedConfig expand_config(const SimpleConfig& simple, const Graph& graph, const Plan& plan,
                             const std::string& file) {
  return Expander(simple, graph, plan, file).run();
}

}  // namespace amct
