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
inline V dot(const V& sum, const V& x, const V& w) {
  return reinterpret_cast<V>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(w)));
}

#include "kernels/simd/byte_dot-inl.h"

// 24 sums, 4 weights and a broadcast quad live in 32 registers.
void run(const ByteTile& t) {
  switch (t.width / kLanes) {
    case 1: return rows_of_tile<8, 1>(t, 0);
    case 2: return rows_of_tile<8, 2>(t, 0);
    case 3: return rows_of_tile<8, 3>(t, 0);
    default: return rows_of_tile<6, 4>(t, 0);
  }
}
int rows_at_once(int64_t width) { return width == ByteBlock::kMaxWidth ? 6 : 8; }

}  // namespace avx512_vnni
}  // namespace amct
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx2,avxvnni")
namespace amct {
namespace avx_vnni {

constexpr int kLanes = 8;
using V [[gnu::vector_size(32)]] = int32_t;
inline V dot(const V& sum, const V& x, const V& w) {
  return reinterpret_cast<V>(_mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(x),
                                                     reinterpret_cast<__m256i>(w)));
}

#include "kernels/simd/byte_dot-inl.h"

// 12 sums, 2 weights and a broadcast quad live in 16 registers. The first columns come last: those before them may have
// written over them.
void run(const ByteTile& t) {
  for (int64_t column = t.width - 2 * kLanes; column >= 0; column -= 2 * kLanes) rows_of_tile<6, 2>(t, column);
}
int rows_at_once(int64_t) { return 6; }

}  // namespace avx_vnni
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
    const bool vectors_of_64 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    if (!vectors_allowed(VectorLevel::kAvx512Vnni)) return dots;
    if (vectors_of_64) dots.push_back({"avx512_vnni", avx512_vnni::run, avx512_vnni::rows_at_once});
    if (has_avx_vnni()) dots.push_back({"avx_vnni", avx_vnni::run, avx_vnni::rows_at_once});
#endif
    return dots;
  }();
  return found;
}

std::vector<ByteBlock> byte_blocks(int64_t rows, int64_t depth) {
  constexpr int64_t kMost = ByteBlock::kMaxWidth, kLanes = ByteBlock::kLanes;
  std::vector<ByteBlock> blocks;
  for (int64_t first = 0; first < rows; first += kMost) {
    const int64_t here = std::min(kMost, rows - first), width = (here + kLanes - 1) / kLanes * kLanes;
    blocks.push_back({.first = first,
                      .rows = here,
                      .width = width,
                      .quads = std::vector<int8_t>(static_cast<size_t>((depth + 3) / 4 * 4 * width))});
  }
  return blocks;
}

}  // namespace amct
