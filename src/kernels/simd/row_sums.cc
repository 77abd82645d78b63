#include "kernels/simd/row_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/row_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void accumulate_rows(const float* HWY_RESTRICT rows, int64_t count, int64_t columns, float* HWY_RESTRICT sums) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + 2 * lanes <= columns; c += 2 * lanes) {
    auto low = hn::LoadU(d, sums + c), high = hn::LoadU(d, sums + c + lanes);
    for (int64_t row = 0; row < count; ++row) {
      low = hn::Add(low, hn::LoadU(d, rows + row * columns + c));
      high = hn::Add(high, hn::LoadU(d, rows + row * columns + c + lanes));
    }
    hn::StoreU(low, d, sums + c);
    hn::StoreU(high, d, sums + c + lanes);
  }
  for (; c < columns; ++c) {
    for (int64_t row = 0; row < count; ++row) sums[c] += rows[row * columns + c];
  }
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(accumulate_rows);

void add_rows(const float* rows, int64_t count, int64_t columns, float* sums) {
  HWY_DYNAMIC_DISPATCH(accumulate_rows)(rows, count, columns, sums);
}

}  // namespace amct
#endif
