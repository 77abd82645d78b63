#include "ops/composition.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/infer.h"
#include "ops/op_row.h"

namespace amct {

const std::vector<Composition>& compositions() {
  static const std::vector<Composition> table = [] {
    std::vector<Composition> all;
    for (const auto& list :
         {microsoft_fused_compositions(), microsoft_quantized_compositions(), microsoft_attention_compositions()}) {
      all.insert(all.end(), list.begin(), list.end());
    }
    return all;
  }();
  return table;
}

const Composition* find_composition(std::string_view domain, std::string_view type) {
  const auto& table = compositions();
  const auto at = std::find_if(table.begin(), table.end(), [&](const Composition& composition) {
    return composition.type == type && composition.domain == domain;
  });
  return at == table.end() ? nullptr : &*at;
}

std::vector<ValueId> compose_all(const ImportContext& c, std::string_view op, std::vector<ValueId> inputs, Attrs attrs,
                                 std::string_view what, size_t outputs) {
  while (!inputs.empty() && !inputs.back().valid()) inputs.pop_back();
  const ForeignNode& foreign = c.foreign();
  const std::string name = what.empty() ? foreign.name : fmt::format("{}.{}", foreign.name, what);
  // The foreign name may be that of a foreign output, which is bound later.
  std::vector<std::string> names(outputs, fmt::format("{}.{}", foreign.name, what.empty() ? op : what));
  for (size_t i = 1; i < outputs; ++i) names[i] += fmt::format(".{}", i);
  const NodeId id = c.graph().add_node(name, op, &op_table().get(op), std::move(inputs), names, std::move(attrs),
                                       {foreign.name, foreign.type});
  return c.graph().node(id).outputs;
}

ValueId compose(const ImportContext& c, std::string_view op, std::vector<ValueId> inputs, Attrs attrs,
                std::string_view what) {
  return compose_all(c, op, std::move(inputs), std::move(attrs), what, 1).at(0);
}

Shape known_shape(const ImportContext& c, ValueId value) {
  const Shape& declared = c.graph().value(value).type.shape;
  return declared.ranked() ? declared : infer_types(c.graph()).types.at(value.index).shape;
}

bool is_wanted(const ImportContext& c, size_t output) {
  return output < c.foreign().outputs.size() && !c.foreign().outputs[output].empty();
}

void bind_output(const ImportContext& c, size_t output, ValueId value) {
  if (!is_wanted(c, output)) return;
  const ForeignNode& foreign = c.foreign();
  const bool given = std::find(foreign.inputs.begin(), foreign.inputs.end(), value) != foreign.inputs.end();
  const std::string& name = c.graph().value(value).name;
  const bool bound = std::find(foreign.outputs.begin(), foreign.outputs.end(), name) != foreign.outputs.end();
  if (given || bound) value = compose(c, "identity", {value}, {}, "copy");
  c.graph().rename_value(value, foreign.outputs[output]);
}

void check_attrs(const ImportContext& c, const std::vector<std::string_view>& more) {
  for (const auto& [name, value] : c.attrs().items()) {
    const bool known = std::find(more.begin(), more.end(), name) != more.end() || c.row().attr(name) != nullptr;
    if (!known) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
}

}  // namespace amct
