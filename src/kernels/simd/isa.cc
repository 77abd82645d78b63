#include "kernels/simd/isa.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <atomic>

#include "base/error.h"

namespace amct {
namespace {

std::atomic<VectorLevel> allowed{VectorLevel::kAvx512Vnni};
std::atomic<bool> asked{false};

unsigned bits(VectorLevel level) { return static_cast<unsigned>(level); }

}  // namespace

bool vectors_allowed(VectorLevel level) {
  asked = true;
  return (bits(level) & ~bits(allowed)) == 0;
}

void limit_vectors(VectorLevel level) {
  AMCT_CHECK(!asked, "instructions are limited before the first kernel runs");
  allowed = level;
  int64_t best = HWY_SSE4;
  switch (level) {
    case VectorLevel::kSse4: break;
    case VectorLevel::kAvx2:
    case VectorLevel::kAvx2Vnni: best = HWY_AVX2; break;
    case VectorLevel::kAvx512: best = HWY_AVX3; break;
    case VectorLevel::kAvx512Vnni: return;
  }
  hwy::DisableTargets(best - 1);  // better targets have lower bits
}

}  // namespace amct
