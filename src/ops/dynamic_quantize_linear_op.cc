// DynamicQuantizeLinear of ONNX: uint8 integers with the scale and zero point of the data's own range,
//   scale = (max(0, max x) - min(0, min x)) / 255, zero_point = round(sat(-min(0, min x) / scale)), scale 1 for all
//   zeros.
#include <algorithm>
#include <cmath>

#include "ops/input_checks.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  expect_type(c, 0, is_float32_type);
  c.set_output(0, DType::kUInt8, c.shape(0));
  c.set_output(1, DType::kFloat32, Shape::of({}));
  c.set_output(2, DType::kUInt8, Shape::of({}));
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const float* values = x.as<float>();
  float low = 0, high = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
  }
  const float scale = high == low ? 1.0f : (high - low) / 255.0f;
  const float zero = std::nearbyint(std::min(std::max(0.0f, -low / scale), 255.0f));
  if (c.wants(0)) {
    uint8_t* y = c.output(0).as<uint8_t>();
    for (int64_t i = 0; i < x.size(); ++i) {
      y[i] = static_cast<uint8_t>(std::min(std::max(0.0f, std::nearbyint(values[i] / scale) + zero), 255.0f));
    }
  }
  if (c.wants(1)) *c.output(1).as<float>() = scale;
  if (c.wants(2)) *c.output(2).as<uint8_t>() = static_cast<uint8_t>(zero);
}

std::vector<Sample> samples() {
  return {{.name = "both_signs", .inputs = {random_input({3, 4, 5}, -2, 5)}, .outputs = 3},
          {.name = "positive", .inputs = {random_input({7}, 1, 5)}, .outputs = 3},
          {.name = "negative", .inputs = {random_input({2, 7}, -5, -1)}, .outputs = 3}};
}

}  // namespace

void add_dynamic_quantize_linear_op(OpTable& table) {
  table.add({.name = "dynamic_quantize_linear",
             .doc = "Quantizes to uint8 with the scale and zero point of the data itself.",
             .inputs = {{.name = "x"}},
             .outputs = {{.name = "y"}, {.name = "y_scale"}, {.name = "y_zero_point"}},
             .infer = infer,
             .run = run,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("DynamicQuantizeLinear", 11)},
             .samples = samples});
}

}  // namespace amct
