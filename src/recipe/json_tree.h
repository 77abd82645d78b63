// A JSON document as a tree that knows where everything stands, so that faults of meaning can be reported with line and
// column, and repeated keys are seen. Syntax is checked by nlohmann-json.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace amct {

struct JsonNode {
  enum class Kind { kObject, kArray, kString, kNumber, kBool, kNull };
  struct Member;
  Kind kind = Kind::kNull;
  size_t position = 0;  // byte in the text
  std::vector<Member> members;
  std::vector<JsonNode> items;
  std::string text;  // a string's characters, a number's digits
  double number = 0;
  bool boolean = false;
};

struct JsonNode::Member {
  std::string key;
  size_t position = 0;
  JsonNode value;
};

// Throws Error(kConfig) with file, line and column for faulty syntax and nesting beyond 64 levels.
JsonNode parse_json_tree(std::string_view text, const std::string& file);

// Reads the fields of objects and collects faults: wrong types, missing and repeated fields, and (at the end of
// `JsonFields`) fields that nobody asked for, with the closest one that was.
class JsonFields {
 public:
  class Document {
   public:
    Document(std::string_view text, std::string file);
    // The file with the 1-based line and column of a byte of the text.
    Where place(size_t position) const;
    void fault(size_t position, const std::string& what, const std::string& hint = "") {
      faults.add(Error(ErrorCode::kConfig, what, place(position), hint));
    }

    Faults faults;

   private:
    std::string file_;
    std::vector<size_t> lines_;  // where each begins
    size_t size_;
  };

  // `what` names the object in messages: "layer 'conv1'".
  JsonFields(Document& document, const JsonNode& node, std::string what);
  ~JsonFields();
  JsonFields(const JsonFields&) = delete;
  JsonFields& operator=(const JsonFields&) = delete;

  // The field, or null if it is not there. Its presence is no fault from now on.
  const JsonNode* find(const std::string& key);
  // Read the field into `to` if it is there and of the right type; otherwise `to` keeps its value, and a wrong type is
  // a fault. They return whether `to` was set.
  bool read(const std::string& key, std::string& to);
  bool read(const std::string& key, bool& to);
  bool read(const std::string& key, double& to);
  bool read(const std::string& key, int64_t& to);
  bool read(const std::string& key, int& to);
  // A finite number above 0 that float32 can hold.
  bool read_scale(const std::string& key, float& to);
  // The items of an array field; empty if it is not there.
  const std::vector<JsonNode>& items(const std::string& key);
  void require(const std::string& key);

  void fault(const JsonNode& at, const std::string& what, const std::string& hint = "") {
    document_.fault(at.position, what, hint);
  }
  void fault(const std::string& what) { fault(node_, what); }
  void fault_in(const std::string& key, const std::string& what);  // at the field if it is there
  const std::string& what() const { return what_; }

 private:
  const JsonNode* typed(const std::string& key, JsonNode::Kind kind, const char* expected);

  Document& document_;
  const JsonNode& node_;
  std::string what_;
  std::vector<std::string> known_;
};

}  // namespace amct
