#include "frontends/onnx/import_node.h"

#include <fmt/core.h>

#include "frontends/onnx/node_decode.h"
#include "frontends/onnx/unknown_ops.h"
#include "onnx_wire.pb.h"
#include "ops/composition.h"
#include "ops/op_row.h"
#include "ops/opaque.h"
#include "ops/verify_ops.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

bool is_constant(const wire::NodeProto& proto) {
  return proto.op_type() == "Constant" && normalized_domain(proto.domain()).empty() && proto.output_size() == 1 &&
         proto.input_size() == 0 && proto.attribute_size() == 1;
}

Tensor constant_of(const wire::AttributeProto& attr, TensorDecoder& tensors) {
  const std::string& form = attr.name();
  if (form == "value" && attr.has_t()) return tensors.decode(attr.t());
  if (form == "sparse_value" && attr.has_sparse_tensor()) return tensors.decode(attr.sparse_tensor());
  if (form == "value_float") return Tensor::scalar(attr.f());
  if (form == "value_int") return Tensor::scalar<int64_t>(attr.i());
  if (form == "value_floats") {
    return Tensor::of<float>({attr.floats_size()}, {attr.floats().begin(), attr.floats().end()});
  }
  if (form == "value_ints") return Tensor::of<int64_t>({attr.ints_size()}, {attr.ints().begin(), attr.ints().end()});
  const bool is_text = form == "value_string" || form == "value_strings";
  throw Error(ErrorCode::kUnsupported,
              is_text ? "strings are not computed with" : fmt::format("attribute '{}' is not known", form));
}

}  // namespace

void NodeImporter::import(const SourceNode& source) {
  const wire::NodeProto& proto = *source.proto;
  try {
    free_output_names(proto);
    if (const std::string reason = try_import(source); !reason.empty()) add_opaque(source, reason);
  } catch (const Error& error) {
    throw error.with({.node = source.name, .op = proto.op_type()});
  }
}

std::string NodeImporter::try_import(const SourceNode& source) {
  const wire::NodeProto& proto = *source.proto;
  const std::string domain = normalized_domain(proto.domain());
  for (const ValueId input : source.inputs) {
    if (input.valid() && graph_.value(input).type.dtype == DType::kString) return "strings are not computed with";
  }
  const size_t first_node = graph_.node_slots();
  const size_t first_value = graph_.value_slots();
  try {
    if (is_constant(proto)) {
      import_constant(source);
      return {};
    }
    const int64_t version = version_of(proto, domain);
    const auto match = op_table().match(Framework::kOnnx, domain, proto.op_type(), version);
    const Composition* composition = match.row == nullptr ? find_composition(domain, proto.op_type()) : nullptr;
    if (match.row == nullptr && composition == nullptr) return reason_unknown(domain, proto.op_type(), version);
    const auto subgraph = [&](const wire::GraphProto& graph) { return subgraph_(graph, source); };
    ForeignNode foreign{
        source.name,    domain, proto.op_type(), version, source.inputs, {}, decode_attrs(proto, tensors_, subgraph),
        source.captured};
    foreign.outputs.assign(proto.output().begin(), proto.output().end());
    if (composition != nullptr) {
      ImportContext context(graph_, foreign, op_table().get(composition->row));
      composition->import(context);
    } else {
      for (const std::string& ignored : match.spelling->ignored_attrs) foreign.attrs.erase(ignored);
      ImportContext context(graph_, foreign, *match.row);
      (match.spelling->import != nullptr ? match.spelling->import : import_default)(context);
    }
    check_result(source, first_node);
    return {};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    roll_back(first_node, first_value);
    return error.message();
  }
}

// Domains that the function does not import are as the model has them.
int64_t NodeImporter::version_of(const wire::NodeProto& proto, const std::string& domain) const {
  const size_t scope = proto.opset_scope();
  if (scope > 0 && scope <= scopes_.size()) {
    const auto own = scopes_[scope - 1].find(domain);
    if (own != scopes_[scope - 1].end()) return own->second;
  }
  const auto at = graph_.info.opsets.find(domain);
  return at == graph_.info.opsets.end() ? 1 : at->second;
}

void NodeImporter::import_constant(const SourceNode& source) {
  const wire::NodeProto& proto = *source.proto;
  const ValueId id = graph_.add_constant(proto.output(0), constant_of(proto.attribute(0), tensors_));
  graph_.value(id).origin = {proto.name(), proto.op_type()};
}

void NodeImporter::import_string(const wire::TensorProto& tensor) {
  wire::NodeProto node;
  node.set_op_type("Constant");
  node.add_output(tensor.name());
  wire::AttributeProto* value = node.add_attribute();
  value->set_name("value");
  value->set_type(4);
  *value->mutable_t() = tensor;
  const std::string bytes = node.SerializeAsString();
  add_opaque({&node, std::as_bytes(std::span(bytes)), tensor.name(), {}, {}, {}}, "strings are not computed with");
}

void NodeImporter::add_opaque(const SourceNode& source, std::string reason) {
  const wire::NodeProto& proto = *source.proto;
  Attrs attrs;
  if (source.bytes.empty() ||
      refers_to_other_files(proto)) {  // which lie beside this model, not beside what is written
    wire::NodeProto own = proto;
    own.clear_opset_scope();
    tensors_.restore_payloads(own);
    if (own.ByteSizeLong() > INT32_MAX) {
      throw Error(ErrorCode::kUnsupported, "it is not known and holds more than 2 GB, which it cannot be written with");
    }
    attrs.set(kOpaqueBytes, own.SerializeAsString());
  } else {
    attrs.set(kOpaqueBytes, std::string(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size()));
  }
  const std::string domain = normalized_domain(proto.domain());
  const int64_t version = version_of(proto, domain);
  const auto model = graph_.info.opsets.try_emplace(domain, version).first;
  if (model->second != version) attrs.set(kOpaqueOpset, version);
  attrs.set(kOpaqueReason, std::move(reason));
  if (!source.captures.empty()) attrs.set(kOpaqueCaptures, source.captures);
  std::vector<ValueId> inputs = source.inputs;
  inputs.insert(inputs.end(), source.captured.begin(), source.captured.end());
  graph_.add_node(source.name, fmt::format("{}::{}", normalized_domain(proto.domain()), proto.op_type()), nullptr,
                  std::move(inputs), {proto.output().begin(), proto.output().end()}, std::move(attrs),
                  {proto.name(), proto.op_type()});
}

// A helper constant of an earlier import may have taken the name of a value of the file, which has the older right.
void NodeImporter::free_output_names(const wire::NodeProto& proto) {
  for (const std::string& name : proto.output()) {
    if (name.empty()) continue;
    if (const ValueId helper = graph_.find_value(name); helper.valid()) {
      graph_.rename_value(helper, graph_.fresh_value_name(name + ".aux"));
    }
  }
}

void NodeImporter::check_result(const SourceNode& source, size_t first_node) {
  for (const std::string& name : source.proto->output()) {
    if (!name.empty() && !graph_.find_value(name).valid()) {
      throw Error(ErrorCode::kUnsupported, fmt::format("output '{}' is not supported", name));
    }
  }
  for (size_t index = first_node; index < graph_.node_slots(); ++index) {
    const NodeId id{static_cast<uint32_t>(index)};
    if (!graph_.alive(id)) continue;
    const std::vector<std::string> faults = check_schema(graph_.node(id));
    if (!faults.empty()) throw Error(ErrorCode::kInput, faults.front(), {}, "the model is faulty; export it again");
    if (graph_.node(id).name == source.name) graph_.node(id).origin = {source.proto->name(), source.proto->op_type()};
  }
}

void NodeImporter::roll_back(size_t first_node, size_t first_value) {
  for (size_t index = graph_.node_slots(); index-- > first_node;) {
    const NodeId id{static_cast<uint32_t>(index)};
    if (!graph_.alive(id)) continue;
    graph_.set_inputs(id, {});  // constants of the file stay, though nothing may use them for now
    graph_.erase_node(id);
  }
  for (size_t index = graph_.value_slots(); index-- > first_value;) {
    const ValueId id{static_cast<uint32_t>(index)};
    if (graph_.alive(id) && graph_.value(id).uses.empty()) graph_.erase_value(id);
  }
}

}  // namespace amct::onnx_file
