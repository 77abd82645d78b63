// The verb `convert` without a record: a model that was quantized elsewhere (quantization-aware training, another
// quantizer) in, AMCT's files out (convert_qat_model). No data is read; what the model computes stays (spec C.24).
#pragma once

#include <filesystem>
#include <set>

#include "workflow/convert.h"

namespace amct {

struct ConvertQatRequest {
  std::filesystem::path model;
  std::filesystem::path out_prefix;
  std::set<Emit> emit{Emit::kFake, Emit::kDeploy};
  bool plan_file = true;  // write PREFIX_plan.json
};

// Writes the record and the quantization file too, all or nothing. Throws Error(kInput) for a model without
// QuantizeLinear and DequantizeLinear, Error(kConfig) where a QDQ file is asked for (the model is one), ErrorList with
// all pairs that do not match or cannot be taken over.
ConvertReport convert_qat(const ConvertQatRequest& request);

}  // namespace amct
