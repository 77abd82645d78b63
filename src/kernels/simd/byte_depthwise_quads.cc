// Vectors of 64 channels of four positions are interleaved to quads: the unpack instructions work on lanes of 16 bytes,
// so that the quads j = 0..3 of a lane L are those of channels 16 L + 4 j to 16 L + 4 j + 3. Weights and start values
// are brought into that order, sums out of it.
#include <hwy/base.h>

#include "base/error.h"
#include "kernels/simd/byte_depthwise_tile.h"
#include "kernels/simd/isa.h"

namespace amct {

void pack_depthwise_quads(const int16_t* w, int64_t channels, int64_t positions, std::vector<int8_t>& packed) {
  const int64_t quads = (positions + 3) / 4;
  const size_t first = packed.size();
  packed.resize(first + static_cast<size_t>(quads * 4 * DepthwiseTile::kChannels), 0);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t lane = c / 16, j = c % 16 / 4;
    for (int64_t p = 0; p < positions; ++p) {
      const int64_t at = (((p / 4 * 4 + j) * 4 + lane) * 4 + c % 4) * 4 + p % 4;
      packed[first + static_cast<size_t>(at)] = static_cast<int8_t>(w[c * positions + p]);
    }
  }
}

}  // namespace amct

#if HWY_ARCH_X86_64
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace amct {
namespace avx512_vnni {

// With a mask of all lanes: GCC 12 warns about the undefined operand of the form without one.
template <int kOrder>
inline __m512i lanes_of(__m512i a, __m512i b) {
  return _mm512_maskz_shuffle_i32x4(0xffff, a, b, kOrder);
}

// Four vectors in the order of the channels to and from the order of the quads: lanes as rows and columns.
inline void transpose_lanes(__m512i (&v)[4]) {
  const __m512i t0 = lanes_of<0x44>(v[0], v[1]), t1 = lanes_of<0xee>(v[0], v[1]);
  const __m512i t2 = lanes_of<0x44>(v[2], v[3]), t3 = lanes_of<0xee>(v[2], v[3]);
  v[0] = lanes_of<0x88>(t0, t2);
  v[1] = lanes_of<0xdd>(t0, t2);
  v[2] = lanes_of<0x88>(t1, t3);
  v[3] = lanes_of<0xdd>(t1, t3);
}

inline void add_quad(const uint8_t* x, const int64_t* offsets, const __m512i* weights, __m512i (&sums)[4]) {
  const __m512i a = _mm512_loadu_si512(x + offsets[0]), b = _mm512_loadu_si512(x + offsets[1]);
  const __m512i c = _mm512_loadu_si512(x + offsets[2]), d = _mm512_loadu_si512(x + offsets[3]);
  const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
  const __m512i above_ab = _mm512_unpackhi_epi8(a, b), above_cd = _mm512_unpackhi_epi8(c, d);
  sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_unpacklo_epi16(ab, cd), weights[0]);
  sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_unpackhi_epi16(ab, cd), weights[1]);
  sums[2] = _mm512_dpbusd_epi32(sums[2], _mm512_unpacklo_epi16(above_ab, above_cd), weights[2]);
  sums[3] = _mm512_dpbusd_epi32(sums[3], _mm512_unpackhi_epi16(above_ab, above_cd), weights[3]);
}

// `kQuads` quads with their weights in registers, or any number for 0.
template <int kQuads>
inline void tile(const DepthwiseTile& t) {
  const auto* memory = static_cast<const int8_t*>(t.weights);
  constexpr int64_t kQuadBytes = 4 * DepthwiseTile::kChannels;
  __m512i weights[kQuads > 0 ? 4 * kQuads : 4], start[4];
  for (int i = 0; i < 4 * kQuads; ++i) weights[i] = _mm512_loadu_si512(memory + 64 * i);
  for (int i = 0; i < 4; ++i) start[i] = _mm512_loadu_si512(t.start + 16 * i);
  transpose_lanes(start);
  const auto quads = static_cast<int64_t>(t.offsets.size() / 4);
  const int64_t* offsets = t.offsets.data();
  int32_t* to = t.sums;
  for (int64_t p = 0; p < t.pixels; ++p, to += DepthwiseTile::kChannels) {
    __m512i sums[4] = {start[0], start[1], start[2], start[3]};
    if constexpr (kQuads > 0) {
      for (int q = 0; q < kQuads; ++q) add_quad(t.x[p], offsets + 4 * q, weights + 4 * q, sums);
    } else {
      for (int64_t q = 0; q < quads; ++q) {
        for (int i = 0; i < 4; ++i) weights[i] = _mm512_loadu_si512(memory + q * kQuadBytes + 64 * i);
        add_quad(t.x[p], offsets + 4 * q, weights, sums);
      }
    }
    transpose_lanes(sums);
    for (int i = 0; i < 4; ++i) _mm512_storeu_si512(to + 16 * i, sums[i]);
  }
}

}  // namespace avx512_vnni

void depthwise_quads(const DepthwiseTile& t) {
  t.offsets.size() == 12 ? avx512_vnni::tile<3>(t) : avx512_vnni::tile<0>(t);
}

}  // namespace amct
HWY_POP_ATTRIBUTES

namespace amct {
bool depthwise_quads_supported() {
  return vectors_allowed(VectorLevel::kAvx512Vnni) && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
}  // namespace amct

#else

namespace amct {
bool depthwise_quads_supported() { return false; }
void depthwise_quads(const DepthwiseTile&) { internal_error("no instruction for quads"); }
}  // namespace amct

#endif  // HWY_ARCH_X86_64
