#include "recipe/json_tree.h"
#include "base/suggestion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace amct {
namespace {

constexpr int kMaxDepth = 64;

// `file` with the 1-based line and column of a byte of the text.
Where json_place(std::string_view text, const std::string& file, size_t position) {
  const std::string_view before = text.substr(0, std::min(position, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t newline = before.rfind('\n');
  const size_t column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  return {.file = file, .line = static_cast<int>(line), .column = static_cast<int>(column)};
}

// Builds the tree of a text that is known to be valid JSON.
class TreeBuilder {
 public:
  TreeBuilder(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  JsonNode build() { return value(0); }

 private:
  using Kind = JsonNode::Kind;

  void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

  // The bytes of the string or scalar that begins here.
  std::string_view token() {
    const size_t begin = at_;
    if (text_[at_] == '"') {
      for (++at_; text_[at_] != '"'; ++at_) at_ += text_[at_] == '\\';
      ++at_;
    } else {
      at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
    }
    return text_.substr(begin, at_ - begin);
  }

  // Steps over `opening`, the elements and the closing bracket.
  template <typename F>
  void elements(char closing, F&& element) {
    ++at_;
    for (skip_blanks(); text_[at_] != closing; skip_blanks()) {
      element();
      skip_blanks();
      if (text_[at_] == ',') ++at_;
    }
    ++at_;
  }

  JsonNode value(int depth) {
    skip_blanks();
    if (depth > kMaxDepth) {
      throw Error(ErrorCode::kConfig, "arrays and objects are nested too deeply", json_place(text_, file_, at_));
    }
    JsonNode node;
    node.position = at_;
    if (text_[at_] == '{') {
      node.kind = Kind::kObject;
      elements('}', [&] {
        JsonNode::Member member;
        member.position = at_;
        member.key = nlohmann::json::parse(token()).get<std::string>();
        skip_blanks();
        ++at_;  // the colon
        member.value = value(depth + 1);
        node.members.push_back(std::move(member));
      });
    } else if (text_[at_] == '[') {
      node.kind = Kind::kArray;
      elements(']', [&] { node.items.push_back(value(depth + 1)); });
    } else {
      scalar(node);
    }
    return node;
  }

  void scalar(JsonNode& node) {
    node.text = token();
    const auto json = nlohmann::json::parse(node.text);
    if (json.is_string()) {
      node.kind = Kind::kString;
      node.text = json.get<std::string>();
    } else if (json.is_number()) {
      node.kind = Kind::kNumber;
      node.number = json.get<double>();
    } else if (json.is_boolean()) {
      node.kind = Kind::kBool;
      node.boolean = json.get<bool>();
    }
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
};

}  // namespace

JsonNode parse_json_tree(std::string_view text, const std::string& file) {
  try {
    // A callback that keeps nothing: the syntax is checked without building a second document.
    [[maybe_unused]] const nlohmann::json checked = nlohmann::json::parse(
        text.begin(), text.end(), [](int, nlohmann::json::parse_event_t, nlohmann::json&) { return false; });
  } catch (const nlohmann::json::parse_error& error) {
    const std::string what = error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    const size_t reason = what.find(": ");
    throw Error(ErrorCode::kConfig,
                fmt::format("not valid JSON{}", reason == std::string::npos ? "" : what.substr(reason)),
                json_place(text, file, error.byte == 0 ? 0 : error.byte - 1));
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kConfig, fmt::format("not valid JSON: {}", error.what()), {.file = file});
  }
  return TreeBuilder(text, file).build();
}

JsonFields::Document::Document(std::string_view text, std::string file)
    : file_(std::move(file)), lines_{0}, size_(text.size()) {
  for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    lines_.push_back(at + 1);
  }
}

Where JsonFields::Document::place(size_t position) const {
  position = std::min(position, size_);
  const auto behind = std::ranges::upper_bound(lines_, position);
  return {.file = file_,
          .line = static_cast<int>(behind - lines_.begin()),
          .column = static_cast<int>(position - *(behind - 1) + 1)};
}

JsonFields::JsonFields(Document& document, const JsonNode& node, std::string what)
    : document_(document), node_(node), what_(std::move(what)) {
  if (node.kind != JsonNode::Kind::kObject) fault(fmt::format("{} must be an object", what_));
  std::set<std::string> seen;
  for (const auto& member : node.members) {
    if (!seen.insert(member.key).second) {
      document.fault(member.position, fmt::format("{} has a second '{}'", what_, member.key));
    }
  }
}

JsonFields::~JsonFields() {
  for (const auto& member : node_.members) {
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    document_.fault(member.position, fmt::format("{} has an unknown field '{}'", what_, member.key),
                    suggestion(member.key, known_, fmt::format("it may have {}", fmt::join(known_, ", "))));
  }
}

const JsonNode* JsonFields::find(const std::string& key) {
  known_.push_back(key);
  for (const auto& member : node_.members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

void JsonFields::fault_in(const std::string& key, const std::string& what) {
  const JsonNode* field = find(key);
  fault(field == nullptr ? node_ : *field, what);
}

void JsonFields::require(const std::string& key) {
  const bool there =
      std::any_of(node_.members.begin(), node_.members.end(), [&](const auto& m) { return m.key == key; });
  if (!there) fault(fmt::format("{} lacks '{}'", what_, key));
}

const JsonNode* JsonFields::typed(const std::string& key, JsonNode::Kind kind, const char* expected) {
  const JsonNode* node = find(key);
  if (node == nullptr || node->kind == kind) return node;
  fault(*node, fmt::format("{} of {} must be {}", key, what_, expected));
  return nullptr;
}

bool JsonFields::read(const std::string& key, std::string& to) {
  const JsonNode* node = typed(key, JsonNode::Kind::kString, "a string");
  if (node != nullptr) to = node->text;
  return node != nullptr;
}

bool JsonFields::read(const std::string& key, bool& to) {
  const JsonNode* node = typed(key, JsonNode::Kind::kBool, "true or false");
  if (node != nullptr) to = node->boolean;
  return node != nullptr;
}

bool JsonFields::read(const std::string& key, double& to) {
  const JsonNode* node = typed(key, JsonNode::Kind::kNumber, "a number");
  if (node != nullptr) to = node->number;
  return node != nullptr;
}

bool JsonFields::read(const std::string& key, int64_t& to) {
  const JsonNode* node = typed(key, JsonNode::Kind::kNumber, "an integer");
  if (node == nullptr) return false;
  if (std::trunc(node->number) != node->number || std::abs(node->number) > 9e15) {
    fault(*node, fmt::format("{} of {} must be an integer", key, what_));
    return false;
  }
  to = static_cast<int64_t>(node->number);
  return true;
}

bool JsonFields::read(const std::string& key, int& to) {
  int64_t wide = to;
  if (!read(key, wide)) return false;
  if (wide != static_cast<int>(wide)) {
    fault_in(key, fmt::format("{} of {} is {}, which is out of range", key, what_, wide));
    return false;
  }
  to = static_cast<int>(wide);
  return true;
}

bool JsonFields::read_scale(const std::string& key, float& to) {
  double wide = to;
  if (!read(key, wide)) return false;
  to = static_cast<float>(wide);
  if (to > 0 && std::isfinite(to)) return true;
  fault_in(key, fmt::format("{} of {} is {}, must be above 0", key, what_, wide));
  return false;
}

const std::vector<JsonNode>& JsonFields::items(const std::string& key) {
  static const std::vector<JsonNode> kNone;
  const JsonNode* node = typed(key, JsonNode::Kind::kArray, "an array");
  return node == nullptr ? kNone : node->items;
}

}  // namespace amct
