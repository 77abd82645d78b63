// p-norm of a sliding window: (sum of |x|^p)^(1/p).
#include <fmt/core.h>

#include "kernels/reference/reference.h"
#include "ops/pool.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  if (attr_int(c.node(), "p") < 1) c.fail(fmt::format("attribute 'p' is {}", attr_int(c.node(), "p")));
  infer_pool(c, c.dtype(0));
}

void run(RunContext& c) {
  const auto shape =
      reference::windowed_shape(c.input(0).dims, c.output(0).dims, pool_window(c.node(), c.input(0).dims));
  std::vector<double> y(static_cast<size_t>(c.output(0).size()));
  reference::lp_pool(shape, reference::widen(c.input(0)).data(), y.data(), static_cast<double>(attr_int(c.node(), "p")),
                     c.threads());
  reference::narrow(y, c.output(0));
}

std::vector<Sample> samples() {
  using Ints = std::vector<int64_t>;
  return {
      {.name = "strides_pads",
       .inputs = {random_input({2, 5, 9, 7})},
       .attrs = {{"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 1}}, {"pads", Ints{1, 0, 1, 1}}}},
      {.name = "p3",
       .inputs = {random_input({1, 3, 8, 7})},
       .attrs = {{"kernel_shape", Ints{2, 3}}, {"p", int64_t{3}}}},
      {.name = "1d", .inputs = {random_input({2, 3, 13})}, .attrs = {{"kernel_shape", Ints{4}}, {"p", int64_t{1}}}},
  };
}

}  // namespace

void add_lp_pool_op(OpTable& table) {
  std::vector<AttrSpec> attrs = pool_attrs();
  attrs.push_back(int_attr("p", 2));
  table.add({
      .name = "lp_pool",
      .doc = "p-norm of a sliding window.",
      .inputs = {{"x"}},
      .outputs = {{"y"}},
      .attrs = std::move(attrs),
      .infer = infer,
      .run = run,
      .quant = QuantRule::keep_float("p-norms have no integer form"),
      .axes = axes_pool,
      .spellings = {onnx("LpPool", 2)},  // before, p was a floating-point number
      .samples = samples,
  });
}

}  // namespace amct
