#include "recipe/quant_json.h"

#include <nlohmann/json.hpp>

namespace amct {
namespace {

using Json = nlohmann::ordered_json;

bool is_ascend_recurrent(const Node& node) { return node.op == "ascend_lstm" || node.op == "ascend_gru"; }

// The operator that feeds a layer its integers, through whatever lies between (a Pad).
const Node* quantizer_of(const Graph& graph, const Node& layer) {
  if (is_ascend_recurrent(layer)) return nullptr;  // it quantizes by itself
  const Node* node = graph.producer(layer.input(0));
  while (node != nullptr && node->op != "ascend_quant") node = graph.producer(node->input(0));
  return node;
}

// The dequantization of a layer's sums, behind the Add of a bias at most.
const Node* dequantizer_of(const Graph& graph, const Node& layer) {
  if (is_ascend_recurrent(layer)) return nullptr;
  const Node* node = &layer;
  for (int hops = 0; hops < 2; ++hops) {
    const auto& uses = graph.value(node->output()).uses;
    if (uses.size() != 1) return nullptr;
    node = &graph.node(uses.front().node);
    if (node->op == "ascend_dequant") return node;
  }
  return nullptr;
}

Json operators(const Graph& graph) {
  Json result = Json::array();
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    const bool quant = node.op == "ascend_quant", anti_quant = node.op == "ascend_anti_quant";
    if (!quant && !anti_quant && node.op != "ascend_dequant") continue;
    Json entry = {{"name", node.name},
                  {"type", quant        ? "AscendQuant"
                           : anti_quant ? "AscendAntiQuant"
                                        : "AscendDequant"},
                  {"input", graph.value(node.input(0)).name},
                  {"output", graph.value(node.output()).name}};
    if (quant || anti_quant) {
      entry["scale"] = static_cast<float>(node.attrs.get<double>("scale", 1));
      entry["offset"] = static_cast<int64_t>(node.attrs.get<double>("offset", 0));
      entry["dst_type"] = node.attrs.get<std::string>("dst_type", "INT8");
    }
    result.push_back(std::move(entry));
  }
  return result;
}

Json layer_entry(const Graph& graph, const LayerPlan& layer, const std::vector<std::string>& fused) {
  Json entry = {{"name", layer.name}, {"type", layer.op}, {"quantized", layer.quantize}};
  std::vector<std::string> original{layer.name};
  original.insert(original.end(), fused.begin(), fused.end());
  entry["original"] = original;
  const NodeId id = graph.find_node(layer.name);
  if (!layer.quantize || !id.valid()) {
    entry["reason"] = layer.reason;
    return entry;
  }
  const Node& node = graph.node(id);
  if (is_ascend_recurrent(node)) entry["output"] = graph.value(node.output()).name;
  if (const Node* quant = quantizer_of(graph, node)) entry["quant"] = quant->name;
  if (const Node* dequant = dequantizer_of(graph, node)) {
    entry["dequant"] = dequant->name;
    entry["output"] = graph.value(dequant->output()).name;
  }
  return entry;
}

}  // namespace

std::string print_quant_json(const Graph& deploy, const Plan& plan,
                             const std::map<std::string, std::vector<std::string>>& fused) {
  Json layers = Json::array();
  for (const LayerPlan& layer : plan.layers) {
    const auto at = fused.find(layer.name);
    layers.push_back(layer_entry(deploy, layer, at != fused.end() ? at->second : std::vector<std::string>()));
  }
  const Json document = {{"format", "amct.quant"},
                         {"version", 1},
                         {"model", plan.model},
                         {"operators", operators(deploy)},
                         {"layers", layers}};
  return document.dump(2) + "\n";
}

}  // namespace amct
