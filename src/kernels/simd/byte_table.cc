#include "kernels/simd/byte_table.h"

#include <hwy/base.h>

#include "kernels/simd/isa.h"

namespace amct {
namespace {

void look_up_rest(const uint8_t* x, const uint8_t* table, uint8_t* y, size_t count) {
  for (size_t i = 0; i < count; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace amct

#if HWY_ARCH_X86_64
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vbmi")
namespace amct {
namespace avx512_vbmi {

// The instruction picks from 128 bytes in two registers, so that each half of the table takes one.
size_t look_up(const uint8_t* x, const uint8_t* table, uint8_t* y, size_t count) {
  __m512i quarters[4];
  for (int i = 0; i < 4; ++i) quarters[i] = _mm512_loadu_si512(table + 64 * i);
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    const __m512i index = _mm512_loadu_si512(x + i);
    const __m512i low = _mm512_permutex2var_epi8(quarters[0], index, quarters[1]);
    const __m512i high = _mm512_permutex2var_epi8(quarters[2], index, quarters[3]);
    _mm512_storeu_si512(y + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
  }
  return i;
}

}  // namespace avx512_vbmi
}  // namespace amct
HWY_POP_ATTRIBUTES

#endif  // HWY_ARCH_X86_64

namespace amct {

void look_up_bytes(const uint8_t* x, const uint8_t* table, uint8_t* y, size_t count) {
  size_t done = 0;
#if HWY_ARCH_X86_64
  static const bool permutes = vectors_allowed(VectorLevel::kAvx512Vnni) && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512vbmi");
  if (permutes) done = avx512_vbmi::look_up(x, table, y, count);
#endif
  look_up_rest(x + done, table, y + done, count - done);
}

}  // namespace amct
