#include "ops/integer_epilogue.h"

#include <algorithm>
#include <optional>

#include "ops/op_row.h"
#include "ops/quantize_common.h"
#include "ops/quantized_operand.h"

namespace amct {
namespace {

using Kind = IntStage::Kind;

bool is_quantized(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUInt8 || dtype == DType::kInt16; }

// The type of a value of type `before` behind a stage; kUndefined if the stage does not work on it.
DType type_behind(const IntStage& stage, DType before, DType result) {
  switch (stage.kind) {
    case Kind::kScale: return before == DType::kInt32 ? DType::kFloat32 : DType::kUndefined;
    case Kind::kClip: return before == DType::kFloat32 || is_quantized(before) ? before : DType::kUndefined;
    case Kind::kAdd:
    case Kind::kAddQuantized: return before == DType::kFloat32 ? before : DType::kUndefined;
    case Kind::kQuantize: return before == DType::kFloat32 ? result : DType::kUndefined;
    case Kind::kDequantize: return is_quantized(before) ? DType::kFloat32 : DType::kUndefined;
  }
  return DType::kUndefined;
}

// One scale, or one for each channel.
bool scales_fit(const IntStage& stage, int64_t channels) {
  const auto count = static_cast<int64_t>(stage.scales.size());
  return stage.kind != Kind::kScale || count == 1 || (count == channels && count > 0);
}

std::optional<std::vector<IntStage>> stages_of(const Epilogue& epilogue) {
  switch (epilogue.kind) {
    case Epilogue::Kind::kInteger: return epilogue.stages;
    case Epilogue::Kind::kAdd: return {{{.kind = Kind::kAdd}}};
    case Epilogue::Kind::kClip: return {{{.kind = Kind::kClip, .low = epilogue.alpha, .high = epilogue.beta}}};
    default: return std::nullopt;
  }
}

// The one number that a constant holds; nullopt if it is computed or holds more.
std::optional<double> single_number(const AbsorbQuery& q, size_t port, double absent) {
  if (port >= q.node.inputs.size() || !q.node.input(port).valid()) return absent;
  const Tensor* tensor = q.graph.constant(q.node.input(port));
  if (tensor == nullptr || tensor->size() != 1) return std::nullopt;
  return tensor->to_doubles()[0];
}

}  // namespace

std::shared_ptr<const IntEpilogue> integer_epilogue(const LowerContext& c, int64_t channels,
                                                    std::vector<IntStage> own) {
  std::vector<IntStage> stages = std::move(own);
  DType type = c.output(0).dtype;
  if (stages.empty() && type != DType::kInt32) return nullptr;
  const auto fits = [&](const IntStage& stage) { return scales_fit(stage, channels); };
  if (!std::all_of(stages.begin(), stages.end(), fits)) return nullptr;
  size_t operands = 0;
  for (const Epilogue& epilogue : c.epilogues()) {
    const auto added = stages_of(epilogue);
    if (!added) return nullptr;
    for (const IntStage& stage : *added) {
      type = type_behind(stage, type, epilogue.result);
      if (type == DType::kUndefined || !fits(stage)) return nullptr;
      stages.push_back(stage);
    }
    operands += epilogue.operand.valid() ? 1 : 0;
  }
  if (operands > IntEpilogue::kMaxOperands || !(type == DType::kFloat32 || is_quantized(type) || stages.empty())) {
    return nullptr;
  }
  return std::make_shared<const IntEpilogue>(std::move(stages), channels, type);
}

std::vector<IntStage> requantize_stages(std::vector<float> scales, int32_t zero, DType to) {
  const IntegerBounds bounds = integer_bounds(to);
  return {{.kind = Kind::kScale, .scales = std::move(scales)},
          {.kind = Kind::kQuantize,
           .low = static_cast<float>(bounds.low),
           .high = static_cast<float>(bounds.high),
           .zero = static_cast<float>(zero)}};
}

IntEpilogue::Rows epilogue_rows(const StepIo& io, size_t first_operand) {
  IntEpilogue::Rows rows{io.outputs[0].data, {}};
  for (size_t i = first_operand; i < io.inputs.size(); ++i) rows.operands[i - first_operand] = io.inputs[i].data;
  return rows;
}

Epilogue integer_stages(std::vector<IntStage> stages, DType result) {
  return {.kind = Epilogue::Kind::kInteger, .stages = std::move(stages), .result = result};
}

std::optional<Epilogue> absorb_quantize_linear(const AbsorbQuery& q) {
  const DType to = q.dtype(q.node.output());
  const auto scale = single_number(q, 1, 1), zero = single_number(q, 2, 0);
  const bool known = to == DType::kInt8 || to == DType::kUInt8 || to == DType::kInt16;
  if (q.through != 0 || !scale || !zero || !known || q.dtype(q.node.input(1)) != DType::kFloat32) return std::nullopt;
  const IntegerBounds bounds = integer_bounds(to);
  return integer_stages({{.kind = Kind::kQuantize,
                          .low = static_cast<float>(bounds.low),
                          .high = static_cast<float>(bounds.high),
                          .scale = static_cast<float>(*scale),
                          .zero = static_cast<float>(*zero),
                          .divides = true}},
                        to);
}

std::optional<Epilogue> absorb_dequantize_linear(const AbsorbQuery& q) {
  const DType from = q.dtype(q.node.input(0));
  const bool floats = q.dtype(q.node.input(1)) == DType::kFloat32 && q.dtype(q.node.output()) == DType::kFloat32;
  if (q.through != 0 || !floats) return std::nullopt;
  const auto scale = single_number(q, 1, 1), zero = single_number(q, 2, 0);
  if (from != DType::kInt32) {
    if (!scale || !zero) return std::nullopt;
    return integer_stages(
        {{.kind = Kind::kDequantize, .scale = static_cast<float>(*scale), .zero = static_cast<float>(*zero)}},
        DType::kFloat32);
  }
  const Tensor* scales = q.graph.constant(q.node.input(1));
  const bool has_zeros = q.node.inputs.size() > 2 && q.node.input(2).valid();
  const bool of_channels = scales != nullptr && scales->rank() <= 1 && attr_int(q.node, "block_size") == 0 &&
                           (scales->size() == 1 || attr_int(q.node, "axis") == 1);
  if (!of_channels || has_zeros) return std::nullopt;
  return integer_stages({{.kind = Kind::kScale, .scales = floats_of(scales->view())}}, DType::kFloat32);
}

}  // namespace amct
