#include "exec/extract.h"

namespace amct {
namespace {

class Extractor {
 public:
  Extractor(const Graph& graph, const std::function<DType(ValueId)>& dtype_of) : whole_(graph), dtype_of_(dtype_of) {
    part_.info = graph.info;
  }

  void add(const Node& node) {
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(id.valid() ? operand(id) : kNoValue);
    std::vector<std::string> names;
    for (const ValueId id : node.outputs) names.push_back(id.valid() ? whole_.value(id).name : std::string());
    const NodeId copy = part_.add_node(node.name, node.op, node.row, std::move(inputs), names, node.attrs, node.origin);
    for (size_t port = 0; port < node.outputs.size(); ++port) {
      const ValueId id = node.outputs[port];
      if (!id.valid()) continue;
      to_part_[id] = part_.node(copy).outputs[port];
      result_.to_part[id] = to_part_[id];
      result_.from_part[to_part_[id]] = id;
    }
  }

  Extracted finish(const std::vector<ValueId>& outputs) {
    std::vector<ValueId> inner;
    for (const ValueId id : outputs) inner.push_back(result_.to_part.at(id));
    part_.set_outputs(std::move(inner));
    result_.outputs = outputs;
    result_.graph = std::make_shared<const Graph>(std::move(part_));
    return std::move(result_);
  }

 private:
  ValueId operand(ValueId id) {
    const auto [at, is_new] = to_part_.try_emplace(id);
    if (!is_new) return at->second;
    const Value& value = whole_.value(id);
    ValueId copy;
    if (value.kind == ValueKind::kConstant) {
      copy = part_.add_constant(value.name, value.data);
    } else if (value.kind == ValueKind::kVariable) {
      copy = part_.add_variable(value.name, value.data);
    } else {
      copy = part_.add_input(value.name, {dtype_of_(id), Shape()});
      result_.inputs.push_back(id);
    }
    return to_part_[id] = copy;
  }

  const Graph& whole_;
  const std::function<DType(ValueId)>& dtype_of_;
  Graph part_;
  std::unordered_map<ValueId, ValueId> to_part_;
  Extracted result_;
};

}  // namespace

Extracted extract(const Graph& graph, const std::vector<NodeId>& nodes, const std::vector<ValueId>& outputs,
                  const std::function<DType(ValueId)>& dtype_of) {
  Extractor extractor(graph, dtype_of);
  for (const NodeId id : nodes) extractor.add(graph.node(id));
  return extractor.finish(outputs);
}

}  // namespace amct
