#include "kernels/simd/byte_dot.h"

#include <algorithm>
#include <cstring>

#include <hwy/base.h>

#include "kernels/simd/isa.h"

#if HWY_ARCH_X86_64
#include <cpuid.h>
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace amct {
namespace avx512_vnni {

constexpr int kLanes = 16;
using V [[gnu::vector_size(64)]] = int32_t;
using M = __m512i;
inline V dot(const V& sum, const V& x, const V& w) {
  return reinterpret_cast<V>(
      _mm512_dpbusd_epi32(reinterpret_cast<M>(sum), reinterpret_cast<M>(x), reinterpret_cast<M>(w)));
}
#include "kernels/simd/byte_dot-inl.h"

}  // namespace avx512_vnni
}  // namespace amct
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx2,avxvnni")
namespace amct {
namespace avx_vnni {

constexpr int kLanes = 8;
using V [[gnu::vector_size(32)]] = int32_t;
using M = __m256i;
inline V dot(const V& sum, const V& x, const V& w) {
  return reinterpret_cast<V>(
      _mm256_dpbusd_avx_epi32(reinterpret_cast<M>(sum), reinterpret_cast<M>(x), reinterpret_cast<M>(w)));
}
#include "kernels/simd/byte_dot-inl.h"

}  // namespace avx_vnni
}  // namespace amct
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl")
namespace amct {
namespace avx512 {

constexpr int kLanes = 16;
using V [[gnu::vector_size(64)]] = int32_t;
using M = __m512i;
inline V dot(const V& sum, const V& x, const V& w) {
  return reinterpret_cast<V>(
      _mm512_add_epi32(reinterpret_cast<M>(sum), _mm512_madd_epi16(reinterpret_cast<M>(x), reinterpret_cast<M>(w))));
}
#include "kernels/simd/byte_dot-inl.h"

}  // namespace avx512
}  // namespace amct
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx2")
namespace amct {
namespace avx2 {

constexpr int kLanes = 8;
using V [[gnu::vector_size(32)]] = int32_t;
using M = __m256i;
inline V dot(const V& sum, const V& x, const V& w) {
  return reinterpret_cast<V>(
      _mm256_add_epi32(reinterpret_cast<M>(sum), _mm256_madd_epi16(reinterpret_cast<M>(x), reinterpret_cast<M>(w))));
}
#include "kernels/simd/byte_dot-inl.h"

}  // namespace avx2
}  // namespace amct
HWY_POP_ATTRIBUTES

#endif  // HWY_ARCH_X86_64

namespace amct {

#if HWY_ARCH_X86_64
namespace {
// Not every compiler's __builtin_cpu_supports knows the name.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}
}  // namespace
#endif

std::span<const ByteDot> byte_dots() {
  static const std::vector<ByteDot> found = [] {
    std::vector<ByteDot> dots;
#if HWY_ARCH_X86_64
    const bool vectors_of_64 = vectors_allowed(VectorLevel::kAvx512) && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (vectors_of_64 && vectors_allowed(VectorLevel::kAvx512Vnni) && __builtin_cpu_supports("avx512vnni")) {
      dots.push_back({"avx512_vnni", 1, 64, avx512_vnni::run, avx512_vnni::rows_at_once});
    }
    const bool sums_of_four = vectors_allowed(VectorLevel::kAvx2Vnni) && has_avx_vnni();
    if (sums_of_four) dots.push_back({"avx_vnni", 1, 16, avx_vnni::run, avx_vnni::rows_at_once});
    if (vectors_of_64) dots.push_back({"avx512", 2, 64, avx512::run, avx512::rows_at_once});
    if (vectors_allowed(VectorLevel::kAvx2) && __builtin_cpu_supports("avx2")) {
      dots.push_back({"avx2", 2, 16, avx2::run, avx2::rows_at_once});
    }
#endif
    return dots;
  }();
  return found;
}

std::vector<ByteBlock> byte_blocks(const ByteDot& dot, int64_t rows, int64_t depth) {
  constexpr int64_t kMost = ByteBlock::kMaxWidth, kLanes = ByteBlock::kLanes;
  const int64_t padded = (depth + 3) / 4 * 4;
  std::vector<ByteBlock> blocks;
  for (int64_t first = 0; first < rows; first += kMost) {
    const int64_t here = std::min(kMost, rows - first), width = (here + kLanes - 1) / kLanes * kLanes;
    blocks.push_back({.first = first,
                      .rows = here,
                      .width = width,
                      .panel = std::min(width, dot.panel),
                      .depth = padded,
                      .quads = std::vector<int8_t>(static_cast<size_t>(padded * width))});
  }
  return blocks;
}

}  // namespace amct
