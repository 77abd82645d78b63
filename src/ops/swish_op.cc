// Swish, x sigmoid(alpha x): SiLU with alpha 1, QuickGelu with 1.702. Files of older opsets write it as a sigmoid and a
// product, which the pass join_gates joins before a graph is run.
#include <cmath>

#include "ops/elementwise.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  expect_type(c, 0, is_float_type);
  infer_same_as_first(c);
}

void run(RunContext& c) {
  const double alpha = attr_float(c.node(), "alpha");
  run_float_map(
      c, FloatUnary::kSwish, [=]<typename T>(T x) { return x / (1 + std::exp(-static_cast<T>(alpha) * x)); }, alpha);
}

std::optional<Epilogue> absorb(const AbsorbQuery& q) {
  return Epilogue{.kind = Epilogue::Kind::kSwish, .alpha = static_cast<float>(attr_float(q.node, "alpha"))};
}

// QuickGelu's own default for alpha differs, so the attribute is always written.
constexpr double kQuickGeluAlpha = 1.702;

void import_quick_gelu(ImportContext& c) {
  for (const auto& [name, value] : c.attrs().items()) {
    if (name != "alpha") c.unsupported("attribute '" + name + "' is not known");
  }
  if (c.foreign().inputs.size() != 1) c.fail("it has more or fewer inputs than 1");
  c.add(c.foreign().inputs, {{"alpha", c.attrs().get<double>("alpha", kQuickGeluAlpha)}});
}

void export_quick_gelu(ExportContext& c) {
  c.emit({c.value_name(c.node().input(0))}, {{"alpha", attr_float(c.node(), "alpha")}});
}

std::vector<Sample> samples() {
  std::vector<Sample> result = float_samples(-6, 6);
  result.push_back(unary_sample("alpha", {2, 3, 5}, -6, 6, DType::kFloat32, {{"alpha", 1.702}}));
  return result;
}

}  // namespace

void add_swish_op(OpTable& table) {
  Spelling quick_gelu = onnx("QuickGelu", 1, kAllVersions, import_quick_gelu, export_quick_gelu);
  quick_gelu.domain = "com.microsoft";
  table.add({.name = "swish",
             .doc = "x sigmoid(alpha x): SiLU, QuickGelu.",
             .inputs = {{"x"}},
             .outputs = {{"y"}},
             .attrs = {float_attr("alpha", 1.0)},
             .infer = infer,
             .run = run,
             .layout = LayoutRule::kFollow,
             .absorb_into = absorb,
             .in_place = true,
             .quant = QuantRule::keep_float("an activation function: it runs on the values of the layer before it"),
             .axes = axes_elementwise,
             .spellings = {onnx("Swish", 24), std::move(quick_gelu)},
             .samples = samples});
}

}  // namespace amct
