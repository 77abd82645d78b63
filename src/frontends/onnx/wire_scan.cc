#include "frontends/onnx/wire_scan.h"

#include <fmt/core.h>

#include <cstdint>
#include <optional>

#include "base/byte_stream.h"
#include "base/error.h"

namespace amct::onnx_file {
namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5 };

// Field numbers that the walk descends into or notes.
constexpr uint32_t kModelGraph = 7, kModelTraining = 20, kModelConfiguration = 26;
constexpr uint32_t kGraphNode = 1, kGraphInitializer = 5;
constexpr uint32_t kNodeOpType = 4, kNodeAttribute = 5, kNodeDomain = 7;
constexpr uint32_t kAttributeTensor = 5, kAttributeGraph = 6, kAttributeGraphs = 11;
constexpr uint32_t kTensorRawData = 9, kTensorMappedPayload = 100001;

struct Field {
  uint32_t number = 0;
  WireType type = kVarint;
  Bytes whole;    // with tag and length
  Bytes payload;  // of a delimited field
};

// Subgraphs nested deeper are left to protobuf, which refuses them.
constexpr int kMaxDepth = 32;

class Reader {
 public:
  Reader(Bytes bytes, const std::byte* file) : bytes_(bytes), file_(file) {}

  bool at_end() const { return at_ == bytes_.size(); }

  Field next() {
    const size_t start = at_;
    const uint64_t tag = varint();
    Field field;
    field.number = static_cast<uint32_t>(tag >> 3);
    field.type = static_cast<WireType>(tag & 7);
    if (tag > UINT32_MAX || field.number == 0) damaged(start, "no field starts here");
    switch (field.type) {
      case kVarint: varint(); break;
      case kFixed64: skip(start, 8); break;
      case kFixed32: skip(start, 4); break;
      case kDelimited: {
        const uint64_t length = varint();
        const size_t from = at_;
        skip(start, length);
        field.payload = bytes_.subspan(from, static_cast<size_t>(length));
        break;
      }
      default: damaged(start, "unknown kind of field");
    }
    field.whole = bytes_.subspan(start, at_ - start);
    return field;
  }

 private:
  size_t offset(size_t at) const { return static_cast<size_t>(bytes_.data() - file_) + at; }

  [[noreturn]] void damaged(size_t at, std::string_view what) const {
    throw Error(ErrorCode::kInput, fmt::format("the file is damaged at byte {}: {}", offset(at), what));
  }

  uint64_t varint() {
    Bytes left = bytes_.subspan(at_);
    if (const auto value = take_varint(left)) {
      at_ = bytes_.size() - left.size();
      return *value;
    }
    if (left.size() >= kLongestVarint) damaged(at_, "a number without an end");
    throw Error(ErrorCode::kInput,
                fmt::format("the file breaks off at byte {}, within a number", offset(bytes_.size())));
  }

  void skip(size_t start, uint64_t count) {
    if (count > bytes_.size() - at_) {
      throw Error(ErrorCode::kInput, fmt::format("the file breaks off: a field at byte {} needs {} bytes, {} are left",
                                                 offset(start), count, bytes_.size() - at_));
    }
    at_ += static_cast<size_t>(count);
  }

  Bytes bytes_;
  const std::byte* file_;
  size_t at_ = 0;
};

class Scanner {
 public:
  explicit Scanner(Bytes file) : file_(file) {}

  WireScan run() {
    for (Reader reader(file_, file_.data()); !reader.at_end();) {
      const Field field = reader.next();
      const bool delimited = field.type == kDelimited;
      if (delimited && field.number == kModelGraph) {
        result_.has_graph = true;
        put_message(result_.skeleton, field.number, graph(field.payload, 0));
        continue;
      }
      if (delimited && (field.number == kModelTraining || field.number == kModelConfiguration)) {
        result_.kept_fields.push_back(field.whole);
      }
      put(result_.skeleton, field.whole);
    }
    return std::move(result_);
  }

 private:
  std::string graph(Bytes bytes, int depth) {
    std::string out;
    for (Reader reader(bytes, file_.data()); !reader.at_end();) {
      const Field field = reader.next();
      if (++parts_ > kMaxGraphParts) {
        throw Error(ErrorCode::kUnsupported, fmt::format("the graph has more than {} parts", kMaxGraphParts));
      }
      const bool delimited = field.type == kDelimited;
      if (delimited && field.number == kGraphNode && depth == 0) result_.nodes.push_back(field.payload);
      if (delimited && field.number == kGraphNode && field.payload.size() >= kMinPayload && is_walked(field.payload)) {
        put_message(out, field.number, node(field.payload, depth));
      } else if (delimited && field.number == kGraphInitializer) {
        put_message(out, field.number, tensor(field.payload));
      } else {
        put(out, field.whole);
      }
    }
    return out;
  }

  // True for Constant nodes and those with subgraphs.
  bool is_walked(Bytes node) const {
    constexpr std::string_view kConstant = "Constant";
    bool constant = false, standard = true, has_graph = false;
    for (Reader reader(node, file_.data()); !reader.at_end();) {
      const Field field = reader.next();
      if (field.type != kDelimited) continue;
      const std::string_view text(reinterpret_cast<const char*>(field.payload.data()), field.payload.size());
      if (field.number == kNodeOpType) constant = text == kConstant;
      if (field.number == kNodeDomain) standard = text.empty() || text == "ai.onnx";
      if (field.number == kNodeAttribute) has_graph = has_graph || holds_graph(field.payload);
    }
    return has_graph || (constant && standard);
  }

  static bool is_graph(const Field& field) {
    return field.type == kDelimited && (field.number == kAttributeGraph || field.number == kAttributeGraphs);
  }

  bool holds_graph(Bytes attribute) const {
    if (attribute.size() < kMinPayload) return false;
    for (Reader reader(attribute, file_.data()); !reader.at_end();) {
      if (is_graph(reader.next())) return true;
    }
    return false;
  }

  std::string node(Bytes bytes, int depth) {
    std::string out;
    for (Reader reader(bytes, file_.data()); !reader.at_end();) {
      const Field field = reader.next();
      if (field.type == kDelimited && field.number == kNodeAttribute) {
        put_message(out, field.number, attribute(field.payload, depth));
      } else {
        put(out, field.whole);
      }
    }
    return out;
  }

  std::string attribute(Bytes bytes, int depth) {
    std::string out;
    for (Reader reader(bytes, file_.data()); !reader.at_end();) {
      const Field field = reader.next();
      if (field.type == kDelimited && field.number == kAttributeTensor) {
        put_message(out, field.number, tensor(field.payload));
      } else if (is_graph(field) && depth < kMaxDepth) {
        put_message(out, field.number, graph(field.payload, depth + 1));
      } else {
        put(out, field.whole);
      }
    }
    return out;
  }

  std::string tensor(Bytes bytes) {
    std::string out;
    std::optional<Bytes> payload;
    for (Reader reader(bytes, file_.data()); !reader.at_end();) {
      const Field field = reader.next();
      if (field.number == kTensorMappedPayload) continue;  // ours alone
      if (field.type == kDelimited && field.number == kTensorRawData && field.payload.size() >= kMinPayload) {
        payload = field.payload;
      } else {
        put(out, field.whole);
      }
    }
    if (payload) {
      append_varint(out, (uint64_t{kTensorMappedPayload} << 3) | kVarint);
      append_varint(out, result_.payloads.size());
      result_.payloads.push_back(*payload);
    }
    return out;
  }

  static void put(std::string& out, Bytes bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  static void put_message(std::string& out, uint32_t number, const std::string& message) {
    append_varint(out, (uint64_t{number} << 3) | kDelimited);
    append_varint(out, message.size());
    out += message;
  }

  Bytes file_;
  WireScan result_;
  size_t parts_ = 0;  // of all graphs
};

}  // namespace

WireScan scan_model(Bytes file) { return Scanner(file).run(); }

}  // namespace amct::onnx_file
