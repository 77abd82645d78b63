// From the nodes behind an integer layer to the epilogue that its kernel applies to the sums, and back from the stages
// of a node to the array that it works on alone.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/simd/int_epilogue.h"
#include "ops/lower.h"

namespace amct {

// The offered epilogues as stages of an integer kernel with `channels` channels in the last axis of memory; null if one
// of them cannot be among them. The layer's own result must be int32, or `own` gives it from the sums.
std::shared_ptr<const IntEpilogue> integer_epilogue(const LowerContext& c, int64_t channels,
                                                    std::vector<IntStage> own = {});

// What makes the sums of a quantized layer quantized again: sat(round(sum * scale) + zero); one scale, or one per
// channel.
std::vector<IntStage> requantize_stages(std::vector<float> scales, int32_t zero, DType to);

// Where the result of a step with such an epilogue goes; `first_operand`: how many inputs the node itself has.
IntEpilogue::Rows epilogue_rows(const StepIo& io, size_t first_operand);

// An epilogue of these stages. `result`: the type behind them.
Epilogue integer_stages(std::vector<IntStage> stages, DType result);

// The stages of quantize_linear, and of dequantize_linear behind a layer's sums (a scale for each channel) or behind
// the quantization of them.
std::optional<Epilogue> absorb_quantize_linear(const AbsorbQuery& q);
std::optional<Epilogue> absorb_dequantize_linear(const AbsorbQuery& q);

}  // namespace amct
