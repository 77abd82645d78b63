// Where: a choice between two tensors, element by element.
#include "ops/elementwise.h"

namespace amct {
namespace {

void infer_where(InferContext& c) {
  expect_type(c, 0, [](DType dtype) { return dtype == DType::kBool; });
  expect_same_types(c, 1);
  infer_broadcast(c);
  c.set_output(0, c.dtype(1), c.outputs()[0].shape);
}

void run_where(RunContext& c) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1, 2});
  visit_size(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    broadcast_select(plan, c.input(0).as<bool>(), static_cast<const T*>(c.input(1).data),
                     static_cast<const T*>(c.input(2).data), static_cast<T*>(c.output(0).data));
  });
}

std::vector<Sample> where_samples() {
  const auto sample = [](std::string name, Dims condition, Dims a, Dims b, DType dtype) {
    return Sample{.name = std::move(name),
                  .inputs = {random_input(std::move(condition), 0, 1, DType::kBool),
                             random_input(std::move(a), -9, 9, dtype), random_input(std::move(b), -9, 9, dtype)}};
  };
  return {sample("same_shape", {2, 5, 3, 7}, {2, 5, 3, 7}, {2, 5, 3, 7}, DType::kFloat32),
          sample("mask", {1, 1, 3, 7}, {2, 5, 3, 7}, {}, DType::kFloat32),
          sample("all_broadcast", {3, 1}, {2, 1, 5}, {5}, DType::kFloat32),
          sample("int64", {3, 5}, {5}, {3, 1}, DType::kInt64),
          sample("uint8", {5}, {3, 5}, {3, 5}, DType::kUInt8),
          sample("empty", {2, 0}, {2, 1}, {}, DType::kFloat32)};
}

}  // namespace

void add_where_op(OpTable& table) {
  table.add({.name = "where",
             .doc = "Elements of one tensor where a condition holds, of another elsewhere.",
             .inputs = {{"condition"}, {"x"}, {"y"}},
             .outputs = {{"z"}},
             .infer = infer_where,
             .run = run_where,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::keep_float("an element-wise choice: it computes nothing"),
             .axes = axes_elementwise,
             .spellings = onnx_since("Where", 9),
             .samples = where_samples});
}

}  // namespace amct
