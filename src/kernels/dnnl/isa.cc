#include "kernels/dnnl/isa.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <oneapi/dnnl/dnnl.hpp>

#include "base/error.h"
#include "kernels/simd/isa.h"

namespace amct::dnn {
namespace {

struct Isa {
  const char* name;
  dnnl::cpu_isa library;
  VectorLevel own;
};

constexpr std::array kIsas = {
    Isa{"sse41", dnnl::cpu_isa::sse41, VectorLevel::kSse4},
    Isa{"avx2", dnnl::cpu_isa::avx2, VectorLevel::kAvx2},
    Isa{"avx512_core", dnnl::cpu_isa::avx512_core, VectorLevel::kAvx512},
    Isa{"avx512_core_vnni", dnnl::cpu_isa::avx512_core_vnni, VectorLevel::kAvx512Vnni},
    Isa{"avx512_core_bf16", dnnl::cpu_isa::avx512_core_bf16, VectorLevel::kAvx512Vnni},
};

}  // namespace

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) names.emplace_back(isa.name);
  return names;
}

void limit_isa(const std::string& name) {
  const auto* isa = std::find_if(kIsas.begin(), kIsas.end(), [&](const Isa& item) { return item.name == name; });
  if (isa == kIsas.end()) {
    throw Error(ErrorCode::kConfig, fmt::format("there is no instruction set '{}'", name), {},
                fmt::format("choose from {}", fmt::join(isa_names(), ", ")));
  }
  const bool taken = dnnl_set_max_cpu_isa(static_cast<dnnl_cpu_isa_t>(isa->library)) == dnnl_success;
  if (!taken || isa_name() != name) {
    throw Error(ErrorCode::kUnsupported, fmt::format("this processor cannot be limited to '{}'", name), {},
                "its own instruction set is what 'amct quantize' writes into the plan");
  }
  limit_vectors(isa->own);
}

std::string isa_name() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    default: return "unknown";
  }
}

}  // namespace amct::dnn
