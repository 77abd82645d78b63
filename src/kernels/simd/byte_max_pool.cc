#include "kernels/simd/byte_max_pool.h"

#include <algorithm>
#include <vector>

#include "kernels/simd/byte_window.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/byte_max_pool.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, typename T>
HWY_INLINE void maxima_at(D d, const std::vector<const uint8_t*>& elements, int64_t channel, T* y) {
  auto most = hn::LoadU(d, reinterpret_cast<const T*>(elements[0]) + channel);
  for (size_t i = 1; i < elements.size(); ++i) {
    most = hn::Max(most, hn::LoadU(d, reinterpret_cast<const T*>(elements[i]) + channel));
  }
  hn::StoreU(most, d, y + channel);
}

template <typename T>
HWY_INLINE void maxima(const std::vector<const uint8_t*>& elements, int64_t channels, T* y) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if (channels < lanes) {
    for (int64_t c = 0; c < channels; ++c) maxima_at(one, elements, c, y);
    return;
  }
  for (int64_t c = 0; c + lanes <= channels; c += lanes) maxima_at(d, elements, c, y);
  if (channels % lanes != 0) maxima_at(d, elements, channels - lanes, y);  // some of them twice
}

// y[c] = the largest x[c] of the elements of one window.
void window_maxima(const std::vector<const uint8_t*>& elements, int64_t channels, bool is_signed, void* y) {
  if (is_signed) {
    maxima(elements, channels, static_cast<int8_t*>(y));
  } else {
    maxima(elements, channels, static_cast<uint8_t*>(y));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(window_maxima);

void byte_max_pool(const IntConvShape& shape, const void* x, bool is_signed, void* y, int threads) {
  each_window(shape, x, threads, [&](const std::vector<const uint8_t*>& elements, int64_t, int64_t first) {
    uint8_t* result = static_cast<uint8_t*>(y) + first;
    if (elements.empty()) {
      std::fill_n(result, shape.in_channels, is_signed ? uint8_t{0x80} : uint8_t{0});
    } else {
      HWY_DYNAMIC_DISPATCH(window_maxima)(elements, shape.in_channels, is_signed, result);
    }
  });
}

}  // namespace amct
#endif  // HWY_ONCE
