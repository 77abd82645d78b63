#include "kernels/simd/byte_dot.h"

#include <algorithm>
#include <cstring>

#include <hwy/base.h>

#if HWY_ARCH_X86_64
#include <cpuid.h>
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace amct {
namespace avx512_vnni {

using V = __m512i;
constexpr int kLanes = 16;
inline V load(const void* from) { return _mm512_loadu_si512(from); }
inline void store(V value, void* to) { _mm512_storeu_si512(to, value); }
inline V broadcast(const uint8_t* from) {
  int32_t quad;
  std::memcpy(&quad, from, sizeof(quad));
  return _mm512_set1_epi32(quad);
}
inline V flipped(V value) { return _mm512_xor_si512(value, _mm512_set1_epi8(-128)); }
inline V dot(V sum, V x, V w) { return _mm512_dpbusd_epi32(sum, x, w); }

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

using V = __m256i;
constexpr int kLanes = 8;
inline V load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline void store(V value, void* to) { _mm256_storeu_si256(static_cast<__m256i*>(to), value); }
inline V broadcast(const uint8_t* from) {
  int32_t quad;
  std::memcpy(&quad, from, sizeof(quad));
  return _mm256_set1_epi32(quad);
}
inline V flipped(V value) { return _mm256_xor_si256(value, _mm256_set1_epi8(-128)); }
inline V dot(V sum, V x, V w) { return _mm256_dpbusd_avx_epi32(sum, x, w); }

#include "kernels/simd/byte_dot-inl.h"

// 12 sums, 2 weights and a broadcast quad live in 16 registers.
void run(const ByteTile& t) {
  for (int64_t column = 0; column < t.width; column += 2 * kLanes) rows_of_tile<6, 2>(t, column);
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
    if (vectors_of_64) dots.push_back({"avx512_vnni", avx512_vnni::run, avx512_vnni::rows_at_once});
    if (has_avx_vnni()) dots.push_back({"avx_vnni", avx_vnni::run, avx_vnni::rows_at_once});
#endif
    return dots;
  }();
  return found;
}

std::vector<ByteBlock> byte_blocks(int64_t rows, int64_t depth) {
  const int64_t groups = (rows + ByteBlock::kLanes - 1) / ByteBlock::kLanes;
  constexpr int64_t kMost = ByteBlock::kMaxWidth / ByteBlock::kLanes;
  const int64_t count = (groups + kMost - 1) / kMost;
  std::vector<ByteBlock> blocks(static_cast<size_t>(count));
  int64_t first = 0;
  for (int64_t i = 0; i < count; ++i) {
    ByteBlock& block = blocks[static_cast<size_t>(i)];
    block.first = first;
    block.width = (groups / count + (i < groups % count ? 1 : 0)) * ByteBlock::kLanes;
    block.rows = std::min(block.width, rows - first);
    block.quads.resize(static_cast<size_t>((depth + 3) / 4 * 4 * block.width));
    first += block.width;
  }
  return blocks;
}

}  // namespace amct
