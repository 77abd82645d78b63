#include "passes/quantize/fake_quant_chain.h"

#include <cmath>

#include "ops/op_row.h"

namespace amct {

ValueId add_fake_quant_chain(Graph& graph, const std::string& base, ValueId x, const FakeQuantChain& chain) {
  const auto scalar = [&](const char* name, float value) {
    return graph.add_constant(base + name, Tensor::scalar<float>(value));
  };
  const auto add = [&](const char* what, std::vector<ValueId> inputs) {
    const std::string name = base + what;
    return graph.node(add_op(graph, name, what, std::move(inputs), {}, name + ".output0")).output();
  };
  const ValueId offset = scalar("offset", chain.offset);
  x = add("mul", {x, scalar("scale", chain.inverse_scale)});
  x = add("round", {x});
  x = add("add", {x, offset});
  x = add("clip", {x, scalar("min_val", -std::ldexp(1.0f, chain.bits - 1)),
                   scalar("max_val", std::ldexp(1.0f, chain.bits - 1) - 1.0f)});
  return add("sub", {x, offset});
}

}  // namespace amct
