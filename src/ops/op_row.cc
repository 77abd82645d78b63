#include "ops/op_row.h"

#include <fmt/core.h>

namespace amct {
namespace {

std::string spelling_key(Framework framework, std::string_view domain, std::string_view type) {
  return fmt::format("{}|{}|{}", static_cast<int>(framework), domain, type);
}

template <typename T>
T read(const Node& node, std::string_view name) {
  const AttrSpec* spec = node.row != nullptr ? node.row->attr(name) : nullptr;
  AMCT_CHECK(spec != nullptr, fmt::format("operator {} has no attribute '{}'", node.op, name));
  if (spec->required) return node.attrs.require<T>(name);
  const T* fallback = std::get_if<T>(&spec->fallback);
  return node.attrs.get<T>(name, fallback != nullptr ? *fallback : T());
}

}  // namespace

AttrSpec int_attr(std::string name, int64_t fallback) { return {std::move(name), AttrType::kInt, fallback}; }
AttrSpec float_attr(std::string name, double fallback) { return {std::move(name), AttrType::kFloat, fallback}; }
AttrSpec string_attr(std::string name, std::string fallback) {
  return {std::move(name), AttrType::kString, std::move(fallback)};
}
AttrSpec ints_attr(std::string name, std::vector<int64_t> fallback) {
  return {std::move(name), AttrType::kInts, std::move(fallback)};
}
AttrSpec required_attr(std::string name, AttrType type) { return {std::move(name), type, std::string(), true, false}; }
AttrSpec optional_attr(std::string name, AttrType type) { return {std::move(name), type, std::string(), false, true}; }

Cost cost_free(const CostContext&) { return {}; }

const AttrSpec* OpRow::attr(std::string_view attr_name) const {
  for (const AttrSpec& spec : attrs) {
    if (spec.name == attr_name) return &spec;
  }
  return nullptr;
}

const InputPort* OpRow::input_port(size_t index) const {
  if (index < inputs.size()) return &inputs[index];
  return !inputs.empty() && inputs.back().variadic ? &inputs.back() : nullptr;
}

int64_t attr_int(const Node& node, std::string_view name) { return read<int64_t>(node, name); }
double attr_float(const Node& node, std::string_view name) { return read<double>(node, name); }
std::string attr_string(const Node& node, std::string_view name) { return read<std::string>(node, name); }
std::vector<int64_t> attr_ints(const Node& node, std::string_view name) {
  return read<std::vector<int64_t>>(node, name);
}
std::vector<double> attr_floats(const Node& node, std::string_view name) {
  return read<std::vector<double>>(node, name);
}

int64_t normalize_axis(int64_t axis, size_t rank, bool allow_end) {
  const auto signed_rank = static_cast<int64_t>(rank);
  const int64_t limit = signed_rank + (allow_end ? 1 : 0);
  if (axis < -limit || axis >= limit) {
    throw Error(ErrorCode::kInput, fmt::format("axis {} is out of range for a tensor of rank {}", axis, rank));
  }
  return axis < 0 ? axis + limit : axis;
}

void OpTable::add(OpRow row) {
  AMCT_CHECK(!row.name.empty() && !row.doc.empty(), "an operator row needs a name and a sentence");
  AMCT_CHECK(row.infer && row.axes && row.samples && (row.run || row.lower),
             fmt::format("the row of operator {} is incomplete", row.name));
  AMCT_CHECK(!by_name_.contains(row.name), fmt::format("operator {} has two rows", row.name));
  const OpRow& stored = rows_.emplace_back(std::move(row));
  by_name_.emplace(stored.name, &stored);
  for (const Spelling& spelling : stored.spellings) {
    by_spelling_.emplace(spelling_key(spelling.framework, spelling.domain, spelling.type), Match{&stored, &spelling});
  }
}

const OpRow* OpTable::find(std::string_view name) const {
  const auto at = by_name_.find(std::string(name));
  return at == by_name_.end() ? nullptr : at->second;
}

const OpRow& OpTable::get(std::string_view name) const {
  const OpRow* row = find(name);
  AMCT_CHECK(row != nullptr, fmt::format("there is no operator {}", name));
  return *row;
}

OpTable::Match OpTable::match(Framework framework, std::string_view domain, std::string_view type,
                              int64_t version) const {
  const auto [begin, end] = by_spelling_.equal_range(spelling_key(framework, domain, type));
  for (auto at = begin; at != end; ++at) {
    if (version >= at->second.spelling->since && version <= at->second.spelling->until) return at->second;
  }
  return {};
}

bool OpTable::knows(Framework framework, std::string_view domain, std::string_view type) const {
  return by_spelling_.contains(spelling_key(framework, domain, type));
}

NodeId add_op(Graph& graph, std::string_view name, std::string_view op, std::vector<ValueId> inputs, Attrs attrs,
              std::string_view output) {
  return graph.add_node(name, op, &op_table().get(op), std::move(inputs), {std::string(output)}, std::move(attrs));
}

}  // namespace amct
