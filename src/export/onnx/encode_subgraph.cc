#include "export/onnx/encode_subgraph.h"

#include <algorithm>

#include "export/onnx/encode.h"
#include "export/onnx/external_data.h"
#include "export/onnx/pieces.h"
#include "onnx_wire.pb.h"
#include "ops/op_row.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

// A result that is a value from outside, another result or a constant is copied: not every reader takes it as it is.
void separate_outputs(Graph& graph, const std::vector<ValueId>& captures) {
  std::vector<ValueId> outputs = graph.outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const bool outside = std::find(captures.begin(), captures.end(), outputs[i]) != captures.end();
    const bool again = std::find(outputs.begin(), outputs.begin() + static_cast<long>(i), outputs[i]) !=
                       outputs.begin() + static_cast<long>(i);
    if (!outside && !again && !graph.value(outputs[i]).is_constant()) continue;
    const std::string name = graph.fresh_node_name(graph.value(outputs[i]).name + ".copy");
    const TensorType type = graph.value(outputs[i]).type;
    outputs[i] = graph.node(add_op(graph, name, "identity", {outputs[i]})).output();
    graph.value(outputs[i]).type = type;
  }
  graph.set_outputs(std::move(outputs));
}

// Captures get the names of what they stand for; what has such a name, or another from around, gives way.
void rename_values(Graph& graph, const std::vector<ValueId>& captures, const Enclosing& enclosing, NameSpace& names) {
  for (const ValueId id : captures) graph.rename_value(id, names.make(graph.value(id).name));
  for (const ValueId id : graph.values()) {
    const std::string name = graph.value(id).name;
    if (enclosing.has(name)) graph.rename_value(id, names.make(name));
  }
  for (size_t i = 0; i < captures.size(); ++i) {
    const ValueId first = graph.find_value(enclosing.captured[i]);
    if (first.valid()) {
      graph.replace_uses(captures[i], first);
    } else {
      graph.rename_value(captures[i], enclosing.captured[i]);
    }
  }
}

void add_constant(const std::string& name, const Tensor& tensor, ExternalData* data, wire::GraphProto& out) {
  wire::TensorProto& proto = *out.add_initializer();
  encode_tensor_header(tensor, name, proto);
  if (data != nullptr && payload_bytes(tensor) >= ExternalData::kLeastBytes) {
    data->put(name, tensor, proto);
  } else {
    proto.set_raw_data(pack_payload(tensor));
  }
}

}  // namespace

bool Enclosing::has(std::string_view name) const {
  if (graph.find_value(name).valid() || std::find(captured.begin(), captured.end(), name) != captured.end())
    return true;
  return outer != nullptr && outer->has(name);
}

std::map<std::string, int64_t> encode_subgraph(const Graph& graph, const Enclosing& enclosing, NameSpace& names,
                                               ExternalData* data, wire::GraphProto& out) {
  Graph own = graph;
  own.info.opsets = enclosing.graph.info.opsets;
  const size_t formal = own.inputs().size() - enclosing.captured.size();
  const std::vector<ValueId> captures(own.inputs().begin() + static_cast<long>(formal), own.inputs().end());
  separate_outputs(own, captures);
  rename_values(own, captures, enclosing, names);
  const LoweredNodes lowered = lower_nodes(own, enclosing.opset, names, data, &enclosing);

  out.set_name(own.info.graph_name.empty() ? "subgraph" : own.info.graph_name);
  check_message_size(lowered.nodes.size());
  AMCT_CHECK(out.MergeFromString(lowered.nodes), "nodes that were written just now");
  for (const ValueId id : own.values()) {
    const Value& value = own.value(id);
    if (!value.is_constant()) continue;
    if (lowered.used[id.index] || own.is_output(id)) add_constant(value.name, value.data, data, out);
  }
  for (const auto& [name, tensor] : lowered.constants) add_constant(name, tensor, data, out);
  for (size_t i = 0; i < formal; ++i) {
    const Value& input = own.value(own.inputs()[i]);
    encode_value_info(input.name, input.type, *out.add_input());
  }
  for (const ValueId id : own.outputs()) encode_value_info(own.value(id).name, own.value(id).type, *out.add_output());
  for (const ValueId id : own.values()) {
    const Value& value = own.value(id);
    const bool known = value.type.dtype != DType::kUndefined && value.type.shape.ranked();
    if (value.kind != ValueKind::kComputed || own.is_output(id) || !known) continue;
    encode_value_info(value.name, value.type, *out.add_value_info());
  }
  return lowered.opsets;
}

}  // namespace amct::onnx_file
