#include "kernels/dnnl/isa.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>

#include "base/error.h"
#include "kernels/simd/isa.h"

namespace amct::dnn {
namespace {

struct Isa {
  std::string_view name;
  dnnl::cpu_isa library;
  VectorLevel own;
};

// Every one that the library may tell, later ones better.
constexpr Isa kIsas[] = {
    {"sse41", dnnl::cpu_isa::sse41, VectorLevel::kSse4},
    {"avx", dnnl::cpu_isa::avx, VectorLevel::kSse4},  // no vectors of integers
    {"avx2", dnnl::cpu_isa::avx2, VectorLevel::kAvx2},
    {"avx2_vnni", dnnl::cpu_isa::avx2_vnni, VectorLevel::kAvx2Vnni},
#if DNNL_VERSION_MAJOR >= 3
    {"avx2_vnni_2", dnnl::cpu_isa::avx2_vnni_2, VectorLevel::kAvx2Vnni},
#endif
    {"avx512_core", dnnl::cpu_isa::avx512_core, VectorLevel::kAvx512},
    {"avx512_core_vnni", dnnl::cpu_isa::avx512_core_vnni, VectorLevel::kAvx512Vnni},
    {"avx512_core_bf16", dnnl::cpu_isa::avx512_core_bf16, VectorLevel::kAvx512Vnni},
#if DNNL_VERSION_MAJOR >= 3
    {"avx512_core_fp16", dnnl::cpu_isa::avx512_core_fp16, VectorLevel::kAvx512Vnni},
#endif
    {"avx512_core_amx", dnnl::cpu_isa::avx512_core_amx, VectorLevel::kAvx512Vnni},
#if DNNL_VERSION_MAJOR >= 3
    {"avx512_core_amx_fp16", dnnl::cpu_isa::avx512_core_amx_fp16, VectorLevel::kAvx512Vnni},
#endif
};

}  // namespace

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) names.emplace_back(isa.name);
  return names;
}

void limit_isa(const std::string& name) {
  const Isa* isa = std::ranges::find(kIsas, name, &Isa::name);
  if (isa == std::end(kIsas)) {
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
  const Isa* isa = std::ranges::find(kIsas, dnnl::get_effective_cpu_isa(), &Isa::library);
  return std::string(isa != std::end(kIsas) ? isa->name : "unknown");
}

}  // namespace amct::dnn
