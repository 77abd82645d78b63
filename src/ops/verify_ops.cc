#include "ops/verify_ops.h"

#include <fmt/core.h>

#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {
bool has_type(const AttrValue& value, AttrType type) {
  switch (type) {
    case AttrType::kInt: return std::holds_alternative<int64_t>(value);
    case AttrType::kFloat: return std::holds_alternative<double>(value);
    case AttrType::kString: return std::holds_alternative<std::string>(value);
    case AttrType::kInts: return std::holds_alternative<std::vector<int64_t>>(value);
    case AttrType::kFloats: return std::holds_alternative<std::vector<double>>(value);
    case AttrType::kStrings: return std::holds_alternative<std::vector<std::string>>(value);
    case AttrType::kTensor: return std::holds_alternative<Tensor>(value);
    case AttrType::kGraph: return std::holds_alternative<std::shared_ptr<const Graph>>(value);
  }
  return false;
}

namespace {

void check_inputs(const Node& node, std::vector<std::string>& faults) {
  const OpRow& row = *node.row;
  const bool variadic = !row.inputs.empty() && row.inputs.back().variadic;
  if (!variadic && node.inputs.size() > row.inputs.size()) {
    faults.push_back(
        fmt::format("{} inputs where {} takes at most {}", node.inputs.size(), row.name, row.inputs.size()));
  }
  for (size_t port = 0; port < row.inputs.size(); ++port) {
    if (!row.inputs[port].optional && !node.input(port).valid()) {
      faults.push_back(fmt::format("input '{}' is missing", row.inputs[port].name));
    }
  }
  for (size_t port = row.inputs.size(); variadic && port < node.inputs.size(); ++port) {
    if (!node.inputs[port].valid() && !row.inputs.back().optional)
      faults.push_back(fmt::format("input {} is missing", port));
  }
}

void check_outputs(const Node& node, std::vector<std::string>& faults) {
  const OpRow& row = *node.row;
  const bool variadic = !row.outputs.empty() && row.outputs.back().variadic;
  if (!variadic && node.outputs.size() > row.outputs.size()) {
    faults.push_back(
        fmt::format("{} outputs where {} has at most {}", node.outputs.size(), row.name, row.outputs.size()));
  }
  for (size_t port = 0; port < row.outputs.size(); ++port) {
    if (!row.outputs[port].optional && port >= node.outputs.size()) {
      faults.push_back(fmt::format("output '{}' is missing", row.outputs[port].name));
    }
  }
}

void check_attrs(const Node& node, std::vector<std::string>& faults) {
  std::vector<std::string> known;
  for (const AttrSpec& spec : node.row->attrs) {
    known.push_back(spec.name);
    const AttrValue* value = node.attrs.find(spec.name);
    if (value == nullptr) {
      if (spec.required) faults.push_back(fmt::format("attribute '{}' is missing", spec.name));
    } else if (!has_type(*value, spec.type)) {
      faults.push_back(fmt::format("attribute '{}' has a wrong type", spec.name));
    }
  }
  for (const auto& [name, value] : node.attrs.items()) {
    if (node.row->attr(name) != nullptr) continue;
    const std::string near = closest(name, known);
    faults.push_back(fmt::format("attribute '{}' is not known{}", name,
                                 near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near)));
  }
}

}  // namespace

std::vector<std::string> check_schema(const Node& node) {
  std::vector<std::string> faults;
  if (node.is_opaque()) return faults;
  if (node.op != node.row->name)
    faults.push_back(fmt::format("operator {} has the row of {}", node.op, node.row->name));
  check_inputs(node, faults);
  check_outputs(node, faults);
  check_attrs(node, faults);
  return faults;
}

namespace {

void check_schemas(const Graph& graph, std::vector<std::string>& faults) {
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    for (const std::string& fault : check_schema(node)) {
      faults.push_back(fmt::format("node '{}' ({}): {}", node.name, node.op, fault));
    }
    for (const Subgraph& inner : subgraphs(node)) check_schemas(*inner.graph, faults);
  }
}

}  // namespace

std::vector<std::string> verify_ops(const Graph& graph) {
  std::vector<std::string> faults;
  check_schemas(graph, faults);
  if (!faults.empty()) return faults;
  try {
    infer_types(graph);
  } catch (const Error& error) {
    faults.emplace_back(error.what());
  }
  return faults;
}

}  // namespace amct
