#include "kernels/simd/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/reduce.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

float row_total(const float* HWY_RESTRICT row, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d), e = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    a = hn::Add(a, hn::LoadU(d, row + i));
    b = hn::Add(b, hn::LoadU(d, row + i + lanes));
    c = hn::Add(c, hn::LoadU(d, row + i + 2 * lanes));
    e = hn::Add(e, hn::LoadU(d, row + i + 3 * lanes));
  }
  for (; i + lanes <= count; i += lanes) a = hn::Add(a, hn::LoadU(d, row + i));
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
  for (; i < count; ++i) sum += row[i];
  return sum;
}

void row_totals(const float* HWY_RESTRICT rows, size_t count, size_t width, float* HWY_RESTRICT sums) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    auto a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d), e = hn::Zero(d);
    const float* row = rows + i;
    for (size_t r = 0; r < count; ++r, row += width) {
      a = hn::Add(a, hn::LoadU(d, row));
      b = hn::Add(b, hn::LoadU(d, row + lanes));
      c = hn::Add(c, hn::LoadU(d, row + 2 * lanes));
      e = hn::Add(e, hn::LoadU(d, row + 3 * lanes));
    }
    hn::StoreU(a, d, sums + i);
    hn::StoreU(b, d, sums + i + lanes);
    hn::StoreU(c, d, sums + i + 2 * lanes);
    hn::StoreU(e, d, sums + i + 3 * lanes);
  }
  for (; i + lanes <= width; i += lanes) {
    auto a = hn::Zero(d);
    const float* row = rows + i;
    for (size_t r = 0; r < count; ++r, row += width) a = hn::Add(a, hn::LoadU(d, row));
    hn::StoreU(a, d, sums + i);
  }
  for (; i < width; ++i) {
    float sum = 0;
    for (size_t r = 0; r < count; ++r) sum += rows[r * width + i];
    sums[i] = sum;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(row_total);
HWY_EXPORT(row_totals);

float sum_row(const float* row, size_t count) { return HWY_DYNAMIC_DISPATCH(row_total)(row, count); }

void sum_rows(const float* rows, size_t count, size_t width, float* sums) {
  HWY_DYNAMIC_DISPATCH(row_totals)(rows, count, width, sums);
}

}  // namespace amct
#endif
