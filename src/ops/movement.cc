#include "ops/movement.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/checked_math.h"

namespace amct {

InputPort shape_port(std::string name, bool optional) {
  return {.name = std::move(name), .role = Role::kShape, .optional = optional};
}

Ints ints_of(const TensorView& view) {
  if (!view) return {};
  const auto count = static_cast<size_t>(view.size());
  if (view.dtype == DType::kInt64) return Ints(view.as<int64_t>(), view.as<int64_t>() + count);
  if (view.dtype == DType::kInt32) return Ints(view.as<int32_t>(), view.as<int32_t>() + count);
  throw Error(ErrorCode::kInput, fmt::format("shapes and indices must be int32 or int64, not {}", name_of(view.dtype)));
}

std::vector<size_t> normalize_axes(const Ints& axes, size_t rank) {
  std::vector<size_t> result;
  for (const int64_t axis : axes) {
    const auto normal = static_cast<size_t>(normalize_axis(axis, rank));
    if (std::find(result.begin(), result.end(), normal) != result.end()) {
      throw Error(ErrorCode::kInput, fmt::format("axis {} is given twice", axis));
    }
    result.push_back(normal);
  }
  return result;
}

Dim product_of(const std::vector<Dim>& dims, size_t begin, size_t end) {
  std::optional<int64_t> fixed = 1;
  Dim symbolic;
  size_t symbols = 0;
  for (size_t i = begin; i < end; ++i) {
    if (dims[i].is_fixed()) {
      fixed = fixed ? checked_mul(*fixed, dims[i].extent()) : std::nullopt;
    } else {
      symbolic = dims[i];
      ++symbols;
    }
  }
  if (fixed && (symbols == 0 || *fixed == 0)) return *fixed;
  return symbols == 1 && fixed == 1 ? symbolic : Dim();
}

Dims logical_input(const RunContext& c, size_t port) { return logical_dims(c.input(port).dims, c.layout()); }

Dims logical_output(const RunContext& c, size_t port) { return logical_dims(c.output(port).dims, c.layout()); }

void copy_whole(RunContext& c) {
  const size_t bytes = c.output(0).bytes();
  if (c.output(0).data != c.input(0).data && bytes > 0) std::memcpy(c.output(0).data, c.input(0).data, bytes);
}

void add_tie(std::vector<AxisRelation>& relations, int64_t channels, std::vector<AxisRef> refs) {
  if (channels > 1) relations.push_back(tie(channels, std::move(refs)));
}

void tie_same_axes(std::vector<AxisRelation>& relations, const AxesContext& c, size_t port,
                   const std::vector<size_t>& except) {
  const Dims& input = c.input(port);
  const Dims& output = c.output(0);
  for (size_t axis = 0; axis < std::min(input.size(), output.size()); ++axis) {
    if (input[axis] != output[axis] || std::find(except.begin(), except.end(), axis) != except.end()) continue;
    add_tie(relations, input[axis], {in_axis(port, axis), out_axis(0, axis)});
  }
}

void import_attr_as_input(ImportContext& c, std::string_view attr, size_t port) {
  Attrs attrs;
  std::vector<ValueId> inputs = c.foreign().inputs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (name == attr) {
      if (inputs.size() <= port) inputs.resize(port + 1);
      inputs[port] = c.ints_constant(attr, c.attrs().require<Ints>(attr));
    } else if (c.row().attr(name) != nullptr) {
      attrs.set(name, value);
    } else {
      c.unsupported(fmt::format("attribute '{}' is not known", name));
    }
  }
  c.add(std::move(inputs), std::move(attrs));
}

void export_input_as_attr(ExportContext& c, std::string_view attr, size_t port, int64_t needed) {
  std::vector<std::string> inputs = input_names(c);
  Attrs attrs = c.node().attrs;
  if (const auto values = c.constant_ints(port, needed)) attrs.set(attr, *values);
  inputs.resize(std::min(inputs.size(), port));
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<std::string> input_names(const ExportContext& c) {
  std::vector<std::string> names;
  for (const ValueId input : c.node().inputs) names.push_back(c.value_name(input));
  return names;
}

void export_without(ExportContext& c, std::string_view attr, int64_t needed) {
  Attrs attrs = c.node().attrs;
  if (const AttrValue* value = attrs.find(attr)) {
    const AttrSpec* spec = c.node().row->attr(attr);
    const bool is_default = std::visit(
        [&]<typename T>(const T& set) {
          const T* fallback = std::get_if<T>(&spec->fallback);
          if constexpr (std::is_same_v<T, Tensor>)
            return false;
          else
            return fallback != nullptr && *fallback == set;
        },
        *value);
    if (!is_default) {
      c.unsupported(
          fmt::format("attribute '{}' needs opset {}, and the target is opset {}", attr, needed, c.version()));
    }
    attrs.erase(attr);
  }
  c.emit(input_names(c), std::move(attrs));
}

}  // namespace amct
