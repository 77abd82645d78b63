// The verb `convert`: a trained network and factors that somebody else determined in, quantized files out (AMCT's
// convert_model). Nothing is calibrated and no data is read.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"
#include "recipe/record_file.h"
#include "workflow/products.h"

namespace amct {

struct ConvertRequest {
  std::filesystem::path model;
  std::filesystem::path record;
  std::filesystem::path out_prefix;
  std::set<Emit> emit{Emit::kFake, Emit::kDeploy, Emit::kQdq};
  std::string qdq_target{kDefaultQdqTarget};
  RecordConvention convention = RecordConvention::kInt8;
};

struct ConvertReport {
  size_t layers = 0, quantized = 0;
  size_t anti_quantized = 0;                                    // pairs of a quantized model that no layer takes
  std::vector<std::pair<std::string, std::string>> kept_float;  // layer -> reason
  std::vector<std::string> warnings;
  std::vector<OutputFile> files;
};

// Layers without a record stay float. The QDQ file has pairs at the inputs of layers only: a record knows no other
// tensors. Writes nothing unless everything succeeded. Throws ErrorList of Error(kConfig) with all faults of the
// record: keys that are no quantizable layer (with the closest), numbers of scales and factors that do not fit the
// weights, offsets where the operator allows none.
ConvertReport convert(const ConvertRequest& request);

// What a plan with the written files has to say.
ConvertReport report_of(const Plan& plan, const Products& products, std::vector<OutputFile> files);

}  // namespace amct
