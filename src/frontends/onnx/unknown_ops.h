// Why an operator of an ONNX file is kept as it is and not computed: what it would take, in one clause.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace amct::onnx_file {

// The reason for an operator that no row spells at this version of its domain.
std::string reason_unknown(std::string_view domain, std::string_view type, int64_t version);

}  // namespace amct::onnx_file
