#include "workflow/instruction_set.h"

#include "kernels/dnnl/isa.h"

namespace amct {

std::vector<std::string> instruction_sets() { return dnn::isa_names(); }

void limit_instruction_set(const std::string& name) { dnn::limit_isa(name); }

}  // namespace amct
