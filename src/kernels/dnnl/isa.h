// The instruction set that float kernels use on this machine (DNNL_MAX_CPU_ISA lowers it). Results are identical for
// one instruction set and may differ in the last bits between two, so calibrations name theirs.
#pragma once

#include <string>

namespace amct::dnn {

std::string isa_name();  // "avx2", "avx512_core", "avx512_core_vnni", …; "unknown" for one without a name here

}  // namespace amct::dnn
