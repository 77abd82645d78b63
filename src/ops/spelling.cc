#include "ops/spelling.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/op_row.h"

namespace amct {

const TensorType& ImportContext::type(size_t port) const {
  if (!input(port).valid()) fail(fmt::format("input {} is missing", port));
  return graph_.value(input(port)).type;
}

NodeId ImportContext::add(std::vector<ValueId> inputs, Attrs attrs) const {
  while (!inputs.empty() && !inputs.back().valid()) inputs.pop_back();
  return graph_.add_node(foreign_.name, row_.name, &row_, std::move(inputs), foreign_.outputs, std::move(attrs),
                         {foreign_.name, foreign_.type});
}

ValueId ImportContext::ints_constant(std::string_view what, const std::vector<int64_t>& values) const {
  return constant(what, Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

ValueId ImportContext::constant(std::string_view what, Tensor tensor) const {
  const std::string& base = foreign_.name.empty() && !foreign_.outputs.empty() ? foreign_.outputs[0] : foreign_.name;
  return graph_.add_constant(fmt::format("{}.{}", base, what), std::move(tensor));
}

void ImportContext::fail(std::string message, std::string hint) const {
  throw Error(ErrorCode::kInput, std::move(message), {.node = foreign_.name, .op = foreign_.type}, std::move(hint));
}

void ImportContext::unsupported(std::string message) const {
  throw Error(ErrorCode::kUnsupported, std::move(message), {.node = foreign_.name, .op = foreign_.type});
}

std::optional<std::vector<int64_t>> ExportContext::constant_ints(size_t port, int64_t needed_version) const {
  const ValueId id = node_.input(port);
  if (!id.valid()) return std::nullopt;
  const Tensor* tensor = graph_.constant(id);
  if (tensor == nullptr) {
    unsupported(
        fmt::format("input {} is computed, which opset {} cannot say; opset {} can", port, version_, needed_version));
  }
  return tensor->to_int64s();
}

void ExportContext::emit(std::vector<std::string> inputs, Attrs attrs, size_t required_outputs) {
  emit_as(type_, std::move(inputs), std::move(attrs));
  std::vector<std::string>& outputs = emitted_.back().outputs;
  outputs.resize(std::max(outputs.size(), required_outputs));
  for (size_t port = 0; port < required_outputs; ++port) {
    if (outputs[port].empty()) outputs[port] = fmt::format("{}.unused{}", node_.name, port);
  }
}

// A type of another domain than the spelling's is written "domain::Type".
void ExportContext::emit_as(std::string type, std::vector<std::string> inputs, Attrs attrs) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  std::vector<std::string> outputs;
  for (const ValueId output : node_.outputs) outputs.push_back(value_name(output));
  while (!outputs.empty() && outputs.back().empty()) outputs.pop_back();
  const size_t colons = type.find("::");
  std::string domain = colons == std::string::npos ? domain_ : type.substr(0, colons);
  if (colons != std::string::npos) type.erase(0, colons + 2);
  emitted_.push_back(
      {node_.name, std::move(domain), std::move(type), std::move(inputs), std::move(outputs), std::move(attrs)});
}

std::string ExportContext::emit_helper(std::string type, std::vector<std::string> inputs, Attrs attrs,
                                       std::string_view suffix) {
  const std::string name = fmt::format("{}.{}", node_.name, suffix);
  emitted_.push_back({name, domain_, std::move(type), std::move(inputs), {name}, std::move(attrs)});
  return name;
}

std::string ExportContext::helper_constant(Tensor tensor, std::string_view suffix) {
  std::string name = fmt::format("{}.{}", node_.name, suffix);
  constants_.emplace_back(name, std::move(tensor));
  return name;
}

std::string ExportContext::named_constant(Tensor tensor, std::string_view name) {
  constants_.emplace_back(std::string(name), std::move(tensor));
  return std::string(name);
}

void ExportContext::unsupported(std::string message) const {
  throw Error(ErrorCode::kUnsupported, std::move(message), {.node = node_.name, .op = node_.op});
}

Spelling onnx(std::string type, int64_t since, int64_t until) {
  return {.domain = "", .type = std::move(type), .since = since, .until = until};
}

Spelling onnx(std::string type, int64_t since, int64_t until, ImportFn import, ExportFn export_fn) {
  return {
      .domain = "", .type = std::move(type), .since = since, .until = until, .import = import, .export_ = export_fn};
}

void import_default(ImportContext& c) {
  Attrs attrs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
    attrs.set(name, value);
  }
  c.add(c.foreign().inputs, std::move(attrs));
}

void export_default(ExportContext& c) {
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  c.emit(std::move(inputs), c.node().attrs);
}

}  // namespace amct
