#include "kernels/simd/isa.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

namespace amct {

namespace {
VectorLevel highest = VectorLevel::kAvx512Vnni;
}

bool vectors_allowed(VectorLevel level) { return level <= highest; }

void limit_vectors(VectorLevel level) {
  highest = level;
  int64_t best = HWY_SSE4;
  switch (level) {
    case VectorLevel::kSse4: break;
    case VectorLevel::kAvx2: best = HWY_AVX2; break;
    case VectorLevel::kAvx512: best = HWY_AVX3; break;
    case VectorLevel::kAvx512Vnni: return;
  }
  hwy::DisableTargets(best - 1);  // better targets have lower bits
}

}  // namespace amct
