// The instruction set that float kernels use on this machine (DNNL_MAX_CPU_ISA lowers it). Results are identical for
// one instruction set and may differ in the last bits between two, so calibrations name theirs.
#pragma once

#include <string>
#include <vector>

namespace amct::dnn {

// Uses no instructions beyond those of `name`, one of isa_names(), in all kernels, ours included. Before the first
// kernel runs. Throws Error(kConfig) for another name, Error(kUnsupported) if this processor lacks them.
void limit_isa(const std::string& name);
std::vector<std::string> isa_names();

std::string isa_name();  // one of isa_names(); "unknown" for one that is newer than they

}  // namespace amct::dnn
