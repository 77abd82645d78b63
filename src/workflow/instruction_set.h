// The instruction set that results depend on in their last bits; see kernels/dnnl/isa.h.
#pragma once

#include <string>
#include <vector>

namespace amct {

std::vector<std::string> instruction_sets();
// Before anything is computed. Throws Error(kConfig) for an unknown name, Error(kUnsupported) if this processor lacks
// it.
void limit_instruction_set(const std::string& name);

}  // namespace amct
