#include "export/onnx/lower_nodes.h"

#include <fmt/core.h>

#include <algorithm>

#include "export/onnx/encode.h"
#include "export/onnx/encode_subgraph.h"
#include "export/onnx/pieces.h"
#include "onnx_wire.pb.h"
#include "ops/op_row.h"
#include "ops/opaque.h"
#include "ops/subgraph.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

constexpr int kGraphAttribute = 5;  // AttributeProto.type
constexpr uint32_t kGraphNode = 1;  // field of GraphProto

// Among the row's spellings at this opset, the one that the node was read from, else the first.
const Spelling* find_spelling(const Graph& graph, const Node& node, int64_t opset) {
  const Spelling* found = nullptr;
  for (const Spelling& spelling : node.row->spellings) {
    if (spelling.framework != Framework::kOnnx) continue;
    const auto own = graph.info.opsets.find(spelling.domain);
    const int64_t version = spelling.domain.empty()          ? opset
                            : own != graph.info.opsets.end() ? own->second
                                                             : spelling.since;
    if (version < spelling.since || version > spelling.until) continue;
    if (spelling.type == node.origin.op) return &spelling;
    if (found == nullptr) found = &spelling;
  }
  return found;
}

class Lowering {
 public:
  Lowering(const Graph& graph, int64_t opset, NameSpace& names, ExternalData* data, const Enclosing* enclosing)
      : graph_(graph), opset_(opset), names_(names), data_(data), enclosing_(enclosing) {
    result_.used.resize(graph.value_slots());
  }

  LoweredNodes run() {
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      try {
        if (node.is_opaque()) {
          lower_opaque(node);
        } else {
          lower_row(node);
        }
      } catch (const Error& error) {
        throw error.with({.node = node.name, .op = node.op});
      }
    }
    return std::move(result_);
  }

 private:
  void lower_row(const Node& node) {
    const Spelling* spelling = find_spelling(graph_, node, opset_);
    if (spelling == nullptr) {
      throw Error(ErrorCode::kUnsupported, fmt::format("operator {} has no form in ONNX opset {}", node.op, opset_));
    }
    const auto own = graph_.info.opsets.find(spelling->domain);
    const int64_t version = spelling->domain.empty()          ? opset_
                            : own != graph_.info.opsets.end() ? own->second
                                                              : spelling->since;
    result_.opsets[spelling->domain] = version;
    ExportContext context(graph_, node, spelling->type, spelling->domain, version);
    (spelling->export_ != nullptr ? spelling->export_ : export_default)(context);

    const std::map<std::string, std::string> renamed = rename_helpers(node, context);
    const auto current = [&](const std::string& name) {
      const auto at = renamed.find(name);
      return at == renamed.end() ? name : at->second;
    };
    for (const auto& [name, tensor] : context.constants()) result_.constants.emplace_back(current(name), tensor);
    for (const ExportContext::Emitted& emitted : context.emitted()) {
      wire::NodeProto& proto = scratch_;
      proto.Clear();
      for (const std::string& input : emitted.inputs) proto.add_input(current(input));
      for (const std::string& output : emitted.outputs) proto.add_output(current(output));
      proto.set_name(emitted.name);
      proto.set_op_type(emitted.type);
      if (!emitted.domain.empty()) proto.set_domain(emitted.domain);
      result_.opsets.try_emplace(emitted.domain, 1);
      for (const auto& [name, value] : emitted.attrs.items()) {
        if (const auto* inner = std::get_if<std::shared_ptr<const Graph>>(&value)) {
          lower_subgraph(node, name, **inner, *proto.add_attribute());
        } else {
          encode_attr(name, value, *proto.add_attribute());
        }
      }
      add(proto);
    }
  }

  void lower_subgraph(const Node& node, const std::string& name, const Graph& inner, wire::AttributeProto& out) {
    std::vector<std::string> captured;
    for (size_t port = node.inputs.size() - capture_count(node); port < node.inputs.size(); ++port) {
      captured.push_back(graph_.value(node.inputs[port]).name);
      result_.used[node.inputs[port].index] = true;
    }
    out.set_name(name);
    out.set_type(kGraphAttribute);
    const Enclosing enclosing{graph_, opset_, captured, enclosing_};
    for (const auto& [domain, version] : encode_subgraph(inner, enclosing, names_, data_, *out.mutable_g())) {
      result_.opsets.emplace(domain, version);
    }
  }

  // Names of helper values that are taken in the graph or by other helpers -> free ones.
  std::map<std::string, std::string> rename_helpers(const Node& node, const ExportContext& context) {
    std::vector<std::string> helpers;
    for (const auto& constant : context.constants()) helpers.push_back(constant.first);
    for (const ExportContext::Emitted& emitted : context.emitted()) {
      for (const std::string& output : emitted.outputs) {
        const ValueId id = graph_.find_value(output);
        const bool own = id.valid() && std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end();
        if (!own && !output.empty()) helpers.push_back(output);
      }
    }
    std::map<std::string, std::string> renamed;
    for (const std::string& helper : helpers) {
      std::string name = names_.make(helper);
      if (name != helper) renamed.emplace(helper, std::move(name));
    }
    return renamed;
  }

  void lower_opaque(const Node& node) {
    const std::string bytes = node.attrs.require<std::string>(kOpaqueBytes);
    wire::NodeProto proto;
    if (!proto.ParseFromString(bytes)) throw Error(ErrorCode::kInput, "the kept form of the node is damaged");
    const auto own = graph_.info.opsets.find("");
    const bool standard = proto.domain().empty() || proto.domain() == "ai.onnx";
    const auto version = node.attrs.get<int64_t>(kOpaqueOpset, own != graph_.info.opsets.end() ? own->second : opset_);
    if (standard && version != opset_) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("operator {} is kept as it is, which holds the model at opset {}; opset {} was asked for",
                              proto.op_type(), version, opset_));
    }
    const auto captures = node.attrs.get<std::vector<std::string>>(kOpaqueCaptures, {});
    alias_captures(node, captures);
    bool same = rename(*proto.mutable_input(), node.inputs, node.inputs.size() - captures.size());
    same &= rename(*proto.mutable_output(), node.outputs, node.outputs.size());
    same ? add(proto, bytes) : add(proto);
  }

  // Subgraphs name values of the graph around them; a value that is called otherwise now gets a second name.
  void alias_captures(const Node& node, const std::vector<std::string>& captures) {
    AMCT_CHECK(captures.size() <= node.inputs.size(), "an opaque node lost its captured inputs");
    const size_t first = node.inputs.size() - captures.size();
    for (size_t i = 0; i < captures.size(); ++i) {
      const std::string& current = graph_.value(node.inputs[first + i]).name;
      result_.used[node.inputs[first + i].index] = true;
      if (current == captures[i] || !aliases_.insert(captures[i]).second) continue;
      if (graph_.find_value(captures[i]).valid()) {
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("its subgraph reads '{}', which is the name of another value now", captures[i]));
      }
      wire::NodeProto identity;
      identity.add_input(current);
      identity.add_output(captures[i]);
      identity.set_name(fmt::format("{}.{}", node.name, captures[i]));
      identity.set_op_type("Identity");
      add(identity);
    }
  }

  // Puts the values' present names into the list; true if it had them already.
  template <typename Names>
  bool rename(Names& names, const std::vector<ValueId>& values, size_t count) const {
    bool same = true;
    for (size_t i = 0; i < count; ++i) {
      const std::string name = values[i].valid() ? graph_.value(values[i]).name : std::string();
      if (static_cast<int>(i) >= names.size()) names.Add();
      std::string& slot = *names.Mutable(static_cast<int>(i));
      if (slot == name) continue;
      slot = name;
      same = false;
    }
    return same;
  }

  void add(const wire::NodeProto& proto) {
    serialize(proto, bytes_);
    add(proto, bytes_);
  }
  void add(const wire::NodeProto& proto, const std::string& bytes) {
    append_field(result_.nodes, kGraphNode, bytes);
    for (const std::string& input : proto.input()) {
      if (const ValueId id = graph_.find_value(input); id.valid()) result_.used[id.index] = true;
    }
  }

  const Graph& graph_;
  int64_t opset_;
  LoweredNodes result_;
  NameSpace& names_;
  ExternalData* data_;
  const Enclosing* enclosing_;
  std::unordered_set<std::string> aliases_;
  wire::NodeProto scratch_;  // used again and again, and so is its serialized form
  std::string bytes_;
};

}  // namespace

NameSpace::NameSpace(const Graph& graph) : graph_(graph) { add_subgraphs(graph); }

std::string NameSpace::make(const std::string& base) {
  std::string name = base;
  for (int suffix = 1; graph_.find_value(name).valid() || !others_.insert(name).second; ++suffix) {
    name = fmt::format("{}_{}", base, suffix);
  }
  return name;
}

void NameSpace::add_subgraphs(const Graph& graph) {
  for (const NodeId id : graph.nodes()) {
    for (const Subgraph& inner : subgraphs(graph.node(id))) {
      for (const ValueId value : inner.graph->values()) others_.insert(inner.graph->value(value).name);
      add_subgraphs(*inner.graph);
    }
  }
}

LoweredNodes lower_nodes(const Graph& graph, int64_t opset, NameSpace& names, ExternalData* data,
                         const Enclosing* enclosing) {
  return Lowering(graph, opset, names, data, enclosing).run();
}

}  // namespace amct::onnx_file
