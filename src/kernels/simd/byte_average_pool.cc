#include "kernels/simd/byte_average_pool.h"

#include <algorithm>
#include <vector>

#include "kernels/simd/byte_window.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/byte_average_pool.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, typename T>
HWY_INLINE void average_at(D d, const std::vector<const uint8_t*>& elements, int64_t channel, int32_t zeros,
                           float count, T, float* y) {
  const hn::Rebind<int32_t, D> di;
  const hn::Rebind<T, D> narrow;
  auto sum = hn::Set(di, -zeros);
  for (const uint8_t* element : elements) {
    sum = hn::Add(sum, hn::PromoteTo(di, hn::LoadU(narrow, reinterpret_cast<const T*>(element) + channel)));
  }
  hn::StoreU(hn::Div(hn::ConvertTo(d, sum), hn::Set(d, count)), d, y + channel);
}

template <typename T>
HWY_INLINE void averages(const std::vector<const uint8_t*>& elements, int64_t channels, int32_t zeros, float count,
                         float* y) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) average_at(d, elements, c, zeros, count, T{}, y);
  for (; c < channels; ++c) average_at(one, elements, c, zeros, count, T{}, y);
}

// y[c] = the average of one window; `zeros`: what the zero points add to its sum.
void window_averages(const std::vector<const uint8_t*>& elements, int64_t channels, bool is_signed, int32_t zeros,
                     float count, float* y) {
  if (is_signed) {
    averages<int8_t>(elements, channels, zeros, count, y);
  } else {
    averages<uint8_t>(elements, channels, zeros, count, y);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(window_averages);

void byte_average_pool(const IntConvShape& shape, const IntInput& x, const int64_t* counts, float* y, int threads) {
  const bool is_signed = x.type == IntInput::Type::kInt8;
  each_window(shape, x.data, threads, [&](const std::vector<const uint8_t*>& elements, int64_t at, int64_t first) {
    const int32_t zeros = x.zero * static_cast<int32_t>(elements.size());
    HWY_DYNAMIC_DISPATCH(window_averages)
    (elements, shape.in_channels, is_signed, zeros, static_cast<float>(counts[at]), y + first);
  });
}

}  // namespace amct
#endif  // HWY_ONCE
