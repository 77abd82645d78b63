#include "frontends/onnx/inline_functions.h"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "frontends/onnx/node_decode.h"
#include "onnx_wire.pb.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

constexpr size_t kMaxCallDepth = 32;
constexpr size_t kMaxNodes = 250'000;
constexpr size_t kMaxBytes = size_t{1} << 30;
constexpr size_t kNameBytes = 256;  // that a call takes for each input and output of its function

using Names = std::unordered_map<std::string, std::string>;
using NodeList = google::protobuf::RepeatedPtrField<wire::NodeProto>;

// A function and which one of the file's it is.
struct Definition {
  const wire::FunctionProto* function = nullptr;
  uint32_t index = 0;
};

class Inliner {
 public:
  explicit Inliner(wire::ModelProto& model) : model_(model) {
    for (const auto& function : model.functions()) {
      const auto index = static_cast<uint32_t>(scopes_.size());
      scopes_.emplace_back();
      for (const auto& opset : function.opset_import()) {
        scopes_.back()[normalized_domain(opset.domain())] = opset.version();
      }
      functions_.try_emplace({normalized_domain(function.domain()), function.name(), function.overload()},
                             Definition{&function, index});
    }
  }

  std::vector<Opsets> run(std::vector<Bytes>& bytes) {
    forget_scopes(*model_.mutable_graph());
    if (functions_.empty()) return {};
    collect_names(model_.graph());
    NodeList old;
    old.Swap(model_.mutable_graph()->mutable_node());
    std::vector<Bytes> result;
    for (int i = 0; i < old.size(); ++i) {
      const bool touched = add(*old.Mutable(i), *model_.mutable_graph()->mutable_node());
      const auto count = static_cast<size_t>(model_.graph().node_size());
      if (!touched) result.push_back(bytes.at(static_cast<size_t>(i)));
      result.resize(count);
    }
    bytes = std::move(result);
    return std::move(scopes_);
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;

  // The field is ours alone: what a file has there does not count.
  static void forget_scopes(wire::GraphProto& graph) {
    for (auto& node : *graph.mutable_node()) forget_scopes(node);
  }
  static void forget_scopes(wire::NodeProto& node) {
    node.clear_opset_scope();
    for (auto& attr : *node.mutable_attribute()) {
      if (attr.has_g()) forget_scopes(*attr.mutable_g());
      for (auto& graph : *attr.mutable_graphs()) forget_scopes(graph);
    }
  }

  void collect_names(const wire::GraphProto& graph) {
    for (const auto& input : graph.input()) taken_.insert(input.name());
    for (const auto& tensor : graph.initializer()) taken_.insert(tensor.name());
    for (const auto& tensor : graph.sparse_initializer()) taken_.insert(tensor.values().name());
    for (const auto& node : graph.node()) {
      taken_.insert(node.output().begin(), node.output().end());
      for (const auto& attr : node.attribute()) {
        if (attr.has_g()) collect_names(attr.g());
        for (const auto& inner : attr.graphs()) collect_names(inner);
      }
    }
  }

  const Definition* definition_of(const wire::NodeProto& node) const {
    const auto at = functions_.find({normalized_domain(node.domain()), node.op_type(), node.overload()});
    return at == functions_.end() ? nullptr : &at->second;
  }

  // Appends the node, or what it calls. False if it is as it was.
  bool add(wire::NodeProto& node, NodeList& out) {
    if (const Definition* definition = definition_of(node)) {
      expand(node, *definition, out);
      return true;
    }
    bool touched = false;
    for (auto& attr : *node.mutable_attribute()) {
      if (attr.has_g()) touched |= rewrite(*attr.mutable_g());
      for (auto& graph : *attr.mutable_graphs()) touched |= rewrite(graph);
    }
    out.Add(std::move(node));
    return touched;
  }

  bool rewrite(wire::GraphProto& graph) {
    NodeList old;
    old.Swap(graph.mutable_node());
    bool touched = false;
    for (auto& node : old) touched |= add(node, *graph.mutable_node());
    return touched;
  }

  [[noreturn]] static void fault(ErrorCode code, const wire::NodeProto& call, std::string message, std::string hint) {
    throw Error(code, std::move(message), {.node = own_name(call), .op = call.op_type()}, std::move(hint));
  }

  void expand(const wire::NodeProto& call, const Definition& definition, NodeList& out) {
    const wire::FunctionProto& function = *definition.function;
    if (std::find(active_.begin(), active_.end(), &function) != active_.end()) {
      fault(ErrorCode::kInput, call, fmt::format("function '{}' calls itself", function.name()),
            "the model is faulty; export it again");
    }
    if (active_.size() == kMaxCallDepth) {
      fault(ErrorCode::kUnsupported, call, fmt::format("functions call each other more than {} deep", kMaxCallDepth),
            {});
    }
    if (call.input_size() > function.input_size() || call.output_size() > function.output_size()) {
      fault(ErrorCode::kInput, call,
            fmt::format("function '{}' has {} inputs and {} outputs, and is called with {} and {}", function.name(),
                        function.input_size(), function.output_size(), call.input_size(), call.output_size()),
            "the model is faulty; export it again");
    }
    count(call, 0, static_cast<size_t>(function.input_size() + function.output_size()) * kNameBytes);
    active_.push_back(&function);
    const std::string prefix = own_name(call);
    Names names;
    for (int i = 0; i < function.input_size(); ++i) {
      names[function.input(i)] = i < call.input_size() ? call.input(i) : std::string();
    }
    std::vector<std::pair<std::string, std::string>> copies;  // from, to: results that are inputs or given twice
    for (int i = 0; i < call.output_size(); ++i) {
      if (call.output(i).empty()) continue;
      const auto [at, is_new] = names.try_emplace(function.output(i), call.output(i));
      if (!is_new) copies.emplace_back(at->second, call.output(i));
    }
    const uint32_t scope = definition.index + 1;
    for (const auto& inner : function.node()) {
      wire::NodeProto node = inner;
      count(call, 1, node.ByteSizeLong());
      adapt(node, call, function, prefix, scope, names);
      add(node, out);
    }
    for (const auto& [from, to] : copies) {
      wire::NodeProto& identity = *out.Add();
      identity.set_op_type("Identity");
      identity.add_input(from);
      identity.add_output(to);
    }
    active_.pop_back();
  }

  void count(const wire::NodeProto& call, size_t nodes, size_t bytes) {
    nodes_ += nodes;
    bytes_ += bytes;
    if (nodes_ <= kMaxNodes && bytes_ <= kMaxBytes) return;
    fault(ErrorCode::kUnsupported, call, "the model grows beyond reason when its functions are inlined", {});
  }

  // Names, attributes and opset of a node of the function, for this call.
  void adapt(wire::NodeProto& node, const wire::NodeProto& call, const wire::FunctionProto& function,
             const std::string& prefix, uint32_t scope, Names& names) {
    node.set_opset_scope(scope);
    if (!node.name().empty()) node.set_name(fmt::format("{}/{}", prefix, node.name()));
    for (auto& input : *node.mutable_input()) rename(input, prefix, names);
    for (auto& output : *node.mutable_output()) rename(output, prefix, names);
    google::protobuf::RepeatedPtrField<wire::AttributeProto> attrs;
    attrs.Swap(node.mutable_attribute());
    for (auto& attr : attrs) {
      if (!attr.ref_attr_name().empty()) {
        const wire::AttributeProto* value = bound(attr.ref_attr_name(), call, function);
        if (value == nullptr) continue;
        wire::AttributeProto& own = *node.add_attribute();
        own = *value;
        own.set_name(attr.name());
        continue;  // a graph among them is the caller's: its names hold already
      }
      const auto inside = [&](wire::GraphProto& graph) { adapt_graph(graph, call, function, prefix, scope, names); };
      if (attr.has_g()) inside(*attr.mutable_g());
      for (auto& graph : *attr.mutable_graphs()) inside(graph);
      node.mutable_attribute()->Add(std::move(attr));
    }
  }

  void adapt_graph(wire::GraphProto& graph, const wire::NodeProto& call, const wire::FunctionProto& function,
                   const std::string& prefix, uint32_t scope, Names& names) {
    const auto rename_all = [&](auto& list) {
      for (auto& item : list) rename(*item.mutable_name(), prefix, names);
    };
    rename_all(*graph.mutable_input());
    rename_all(*graph.mutable_output());
    rename_all(*graph.mutable_value_info());
    rename_all(*graph.mutable_initializer());
    for (auto& sparse : *graph.mutable_sparse_initializer()) {
      rename(*sparse.mutable_values()->mutable_name(), prefix, names);
    }
    for (auto& node : *graph.mutable_node()) adapt(node, call, function, prefix, scope, names);
  }

  static const wire::AttributeProto* bound(const std::string& name, const wire::NodeProto& call,
                                           const wire::FunctionProto& function) {
    for (const auto& attr : call.attribute()) {
      if (attr.name() == name) return &attr;
    }
    for (const auto& attr : function.attribute_proto()) {
      if (attr.name() == name) return &attr;
    }
    return nullptr;
  }

  void rename(std::string& name, const std::string& prefix, Names& names) {
    if (name.empty()) return;
    const auto known = names.find(name);
    if (known != names.end()) {
      name = known->second;
      return;
    }
    std::string fresh = fmt::format("{}/{}", prefix, name);
    for (int suffix = 1; !taken_.insert(fresh).second; ++suffix) fresh = fmt::format("{}/{}_{}", prefix, name, suffix);
    names.emplace(name, fresh);
    name = std::move(fresh);
  }

  wire::ModelProto& model_;
  std::map<Key, Definition> functions_;
  std::vector<Opsets> scopes_;
  std::unordered_set<std::string> taken_;
  std::vector<const wire::FunctionProto*> active_;
  size_t nodes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace

std::vector<Opsets> inline_functions(wire::ModelProto& model, std::vector<Bytes>& nodes) {
  return Inliner(model).run(nodes);
}

}  // namespace amct::onnx_file
