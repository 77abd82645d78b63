#include "recipe/amct_config/mapping_file.h"

#include <algorithm>

#include "base/error.h"
#include "recipe/json_tree.h"

namespace amct::config {
namespace {

using Kind = JsonNode::Kind;

const JsonNode* member(const JsonNode& node, std::string_view key) {
  const auto at = std::ranges::find(node.members, key, &JsonNode::Member::key);
  return at == node.members.end() ? nullptr : &at->value;
}

class Names {
 public:
  void add(const JsonNode* node) {
    if (node == nullptr || node->kind != Kind::kString || node->text.empty()) return;
    if (std::ranges::find(names_, node->text) == names_.end()) names_.push_back(node->text);
  }

  void add_layers(const JsonNode& list) {
    for (const JsonNode& item : list.items) {
      const JsonNode* quantized = member(item, "quantized");
      if (quantized != nullptr && quantized->kind == Kind::kBool && !quantized->boolean) continue;
      add(item.kind == Kind::kString ? &item : member(item, "name"));
    }
  }

  void add_compiled(const JsonNode& graphs) {
    for (const JsonNode& graph : graphs.items) {
      const JsonNode* ops = member(graph, "op");
      if (ops == nullptr) continue;
      for (const JsonNode& op : ops->items) {
        add(member(op, "name"));
        if (const JsonNode* attrs = member(op, "attr")) add_originals(*attrs);
      }
    }
  }

  std::vector<std::string> take() { return std::move(names_); }

 private:
  void add_originals(const JsonNode& attrs) {
    for (const JsonNode& attr : attrs.items) {
      const JsonNode* key = member(attr, "key");
      if (key == nullptr || key->text != "_datadump_original_op_names") continue;
      const JsonNode* value = member(attr, "value");
      const JsonNode* list = value != nullptr ? member(*value, "list") : nullptr;
      const JsonNode* strings = list != nullptr ? member(*list, "s") : nullptr;
      if (strings == nullptr) continue;
      for (const JsonNode& item : strings->items) add(&item);
    }
  }

  std::vector<std::string> names_;
};

}  // namespace

std::vector<std::string> parse_mapping(std::string_view text, const std::string& file) {
  const JsonNode root = parse_json_tree(text, file);
  Names names;
  if (root.kind == Kind::kArray) names.add_layers(root);
  if (const JsonNode* layers = member(root, "layers")) names.add_layers(*layers);
  if (const JsonNode* graphs = member(root, "graph")) names.add_compiled(*graphs);
  std::vector<std::string> result = names.take();
  if (result.empty()) {
    throw Error(ErrorCode::kConfig, "the mapping file names no layer", {.file = file},
                "it may be a list of names, a PREFIX_quant.json, or the compiler's JSON of an offline model");
  }
  return result;
}

}  // namespace amct::config
