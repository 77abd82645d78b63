#include "ir/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "ir/dispatch.h"
#include "ir/text_lexer.h"

namespace amct {
namespace {

constexpr uint32_t kPlainNan32 = 0x7fc00000u;
constexpr uint64_t kPlainNan64 = 0x7ff8000000000000u;

// A double that reads back as the same bits and is told from an integer.
std::string print_double(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  if (std::isnan(value)) return bits == kPlainNan64 ? "nan" : fmt::format("nan(0x{:x})", bits);
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".enai") == std::string::npos) text += ".0";
  return text;
}

template <typename T>
void print_element(std::string& out, T value) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    const auto bits = std::bit_cast<std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>(value);
    const bool odd = std::isnan(value) && bits != (sizeof(T) == 4 ? kPlainNan32 : kPlainNan64);
    out += odd ? fmt::format("nan(0x{:x})", bits) : fmt::format("{}", std::isnan(value) ? std::abs(value) : value);
  } else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    const auto number = static_cast<float>(value);
    out += std::isnan(number) ? fmt::format("nan(0x{:x})", value.bits) : fmt::format("{}", number);
  } else if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else {
    out += fmt::format("{}", value);
  }
}

class Printer {
 public:
  explicit Printer(const TextOptions& options) : options_(options) {}

  std::string graph(const Graph& graph, const std::string& indent) {
    std::string out;
    header(graph, indent, out);
    for (const ValueId id : graph.inputs()) out += fmt::format("{}{} = input\n", indent, typed(graph, id));
    for (const ValueId id : graph.values()) {
      const Value& value = graph.value(id);
      if (value.kind != ValueKind::kConstant && value.kind != ValueKind::kVariable) continue;
      const char* kind = value.is_constant() ? "constant" : "variable";
      out += fmt::format("{}{} = {} {}\n", indent, typed(graph, id), kind, elements(value.data));
    }
    for (const NodeId id : graph.topological_order()) node(graph, graph.node(id), indent, out);
    for (const ValueId id : graph.outputs()) out += fmt::format("{}output {}\n", indent, name(graph, id));
    return out;
  }

 private:
  static void header(const Graph& graph, const std::string& indent, std::string& out) {
    const ModelInfo& info = graph.info;
    const auto text = [&](const char* key, const std::string& value) {
      if (!value.empty()) out += fmt::format("{}{} {}\n", indent, key, quote(value));
    };
    text("format", info.format);
    for (const auto& [domain, version] : info.opsets)
      out += fmt::format("{}opset {} {}\n", indent, quote(domain), version);
    if (info.ir_version != 0) out += fmt::format("{}ir_version {}\n", indent, info.ir_version);
    if (info.model_version != 0) out += fmt::format("{}model_version {}\n", indent, info.model_version);
    text("producer_name", info.producer_name);
    text("producer_version", info.producer_version);
    text("domain", info.domain);
    text("doc", info.doc);
    text("graph_name", info.graph_name);
    for (const auto& [key, value] : info.metadata)
      out += fmt::format("{}metadata {} {}\n", indent, quote(key), quote(value));
    for (const std::string& section : info.opaque_sections)
      out += fmt::format("{}section {}\n", indent, quote(section));
  }

  static std::string name(const Graph& graph, ValueId id) {
    return id.valid() ? fmt::format("%{}", print_name(graph.value(id).name)) : "_";
  }

  static std::string typed(const Graph& graph, ValueId id) {
    return id.valid() ? fmt::format("{}: {}", name(graph, id), print_type(graph.value(id).type)) : "_";
  }

  void node(const Graph& graph, const Node& node, const std::string& indent, std::string& out) {
    out += indent;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (i > 0) out += ", ";
      out += typed(graph, node.outputs[i]);
    }
    out += node.outputs.empty() ? "" : " = ";
    out += print_name(node.op);
    out += "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (i > 0) out += ", ";
      out += name(graph, node.inputs[i]);
    }
    out += ")";
    if (!node.attrs.empty()) out += fmt::format(" {{{}}}", attrs(node.attrs, indent));
    const bool named_after_output = node.output().valid() && graph.value(node.output()).name == node.name;
    if (!named_after_output) out += fmt::format(" @{}", print_name(node.name));
    if (node.origin != Origin{}) out += fmt::format(" from {} {}", quote(node.origin.name), quote(node.origin.op));
    out += "\n";
  }

  std::string attrs(const Attrs& attrs, const std::string& indent) {
    std::string out;
    for (const auto& [key, value] : attrs.items()) {
      out += fmt::format("{}{}={}", out.empty() ? "" : ", ", print_name(key), attr(value, indent));
    }
    return out;
  }

  template <typename T, typename Print>
  static std::string list(const char* empty, const std::vector<T>& values, Print print) {
    if (values.empty()) return empty;
    std::string out;
    for (const T& value : values) {
      out += out.empty() ? "[" : ", ";
      out += print(value);
    }
    out += "]";
    return out;
  }

  std::string attr(const AttrValue& value, const std::string& indent) {
    struct Visitor {
      Printer& printer;
      const std::string& indent;
      std::string operator()(int64_t v) const { return fmt::format("{}", v); }
      std::string operator()(double v) const { return print_double(v); }
      std::string operator()(const std::string& v) const { return quote(v); }
      std::string operator()(const std::vector<int64_t>& v) const {
        return list("[]", v, [](int64_t i) { return fmt::format("{}", i); });
      }
      std::string operator()(const std::vector<double>& v) const { return list("floats[]", v, print_double); }
      std::string operator()(const std::vector<std::string>& v) const {
        return list("strings[]", v, [](const std::string& s) { return quote(s); });
      }
      std::string operator()(const Tensor& v) const {
        return fmt::format("tensor {} {}", print_type(v.type()), printer.elements(v));
      }
      std::string operator()(const std::shared_ptr<const Graph>& v) const {
        return fmt::format("graph {{\n{}{}}}", printer.graph(*v, indent + "  "), indent);
      }
    };
    return std::visit(Visitor{*this, indent}, value);
  }

  std::string elements(const Tensor& tensor) const {
    if (tensor.size() > options_.max_elements) return fmt::format("hash(0x{:016x})", hash_bytes(tensor.bytes()));
    if (!has_number_form(tensor.dtype())) {
      return fmt::format("bytes {}",
                         quote({reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size()}));
    }
    std::string out = "[";
    visit_numeric(tensor.dtype(), [&]<typename T>(Tag<T>) {
      for (const T& value : tensor.values<T>()) {
        if (out.size() > 1) out += ", ";
        print_element(out, value);
      }
    });
    out += "]";
    return out;
  }

  TextOptions options_;
};

}  // namespace

std::string to_text(const Graph& graph, const TextOptions& options) { return Printer(options).graph(graph, ""); }

}  // namespace amct
