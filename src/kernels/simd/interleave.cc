#include "kernels/simd/interleave.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/interleave.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void interleave_3(const uint8_t* planes, int64_t count, uint8_t* pixels) {
  const uint8_t *a = planes, *b = planes + count, *c = planes + 2 * count;
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<uint8_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (; i + lanes <= count; i += lanes) {
    hn::StoreInterleaved3(hn::LoadU(d, a + i), hn::LoadU(d, b + i), hn::LoadU(d, c + i), d, pixels + 3 * i);
  }
#endif
  for (; i < count; ++i) {
    pixels[3 * i] = a[i];
    pixels[3 * i + 1] = b[i];
    pixels[3 * i + 2] = c[i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(interleave_3);

void interleave_3_bytes(const uint8_t* planes, int64_t count, uint8_t* pixels) {
  HWY_DYNAMIC_DISPATCH(interleave_3)(planes, count, pixels);
}

}  // namespace amct
#endif  // HWY_ONCE
