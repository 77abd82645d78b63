#include "kernels/simd/float_binary.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/float_binary.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd/float_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

HWY_INLINE FloatVec load_some(FloatTag d, const float* from, size_t n) {
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(lanes, from, n * sizeof(float));
  return hn::Load(d, lanes);
}

template <class F>
HWY_INLINE void store_some(FloatTag d, F value, float* to, size_t n) {
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(value, d, lanes);
  std::memcpy(to, lanes, n * sizeof(float));
}

// One row; a repeating operand is one broadcast vector.
template <bool kRepeatA, bool kRepeatB, class F>
HWY_INLINE void map_row(const float* a, const float* b, float* out, size_t n, F f) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const FloatVec one_a = hn::Set(d, *a);
  const FloatVec one_b = hn::Set(d, *b);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const FloatVec va = kRepeatA ? one_a : hn::LoadU(d, a + i);
    const FloatVec vb = kRepeatB ? one_b : hn::LoadU(d, b + i);
    hn::StoreU(f(va, vb), d, out + i);
  }
  if (i == n) return;
  const FloatVec va = kRepeatA ? one_a : load_some(d, a + i, n - i);
  const FloatVec vb = kRepeatB ? one_b : load_some(d, b + i, n - i);
  store_some(d, f(va, vb), out + i, n - i);
}

template <class F>
HWY_INLINE void map_plane(const FloatPlane& a, const FloatPlane& b, float* out, int64_t rows, int64_t cols, F f) {
  const auto n = static_cast<size_t>(cols);
  for (int64_t row = 0; row < rows; ++row, out += cols) {
    const float* pa = a.data + row * a.row_stride;
    const float* pb = b.data + row * b.row_stride;
    if (a.col_stride != 0 && b.col_stride != 0) {
      map_row<false, false>(pa, pb, out, n, f);
    } else if (a.col_stride != 0) {
      map_row<false, true>(pa, pb, out, n, f);
    } else if (b.col_stride != 0) {
      map_row<true, false>(pa, pb, out, n, f);
    } else {
      map_row<true, true>(pa, pb, out, n, f);
    }
  }
}

void map_binary(FloatBinary function, const FloatPlane& a, const FloatPlane& b, float* out, int64_t rows,
                int64_t cols) {
  using V = FloatVec;
  const auto map = [&](auto f) HWY_ATTR { map_plane(a, b, out, rows, cols, f); };
  switch (function) {
    case FloatBinary::kAdd: return map([](V x, V y) HWY_ATTR { return hn::Add(x, y); });
    case FloatBinary::kSub: return map([](V x, V y) HWY_ATTR { return hn::Sub(x, y); });
    case FloatBinary::kMul: return map([](V x, V y) HWY_ATTR { return hn::Mul(x, y); });
    case FloatBinary::kDiv: return map([](V x, V y) HWY_ATTR { return hn::Div(x, y); });
    case FloatBinary::kMin:
      return map([](V x, V y) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Lt(x, y), hn::IsNaN(x)), x, y); });
    case FloatBinary::kMax:
      return map([](V x, V y) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Gt(x, y), hn::IsNaN(x)), x, y); });
    case FloatBinary::kPrelu:
      return map([](V x, V y) HWY_ATTR { return hn::IfThenElse(hn::Lt(x, hn::Zero(FloatTag())), hn::Mul(x, y), x); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {
HWY_EXPORT(map_binary);

void float_binary(FloatBinary function, const FloatPlane& a, const FloatPlane& b, float* out, int64_t rows,
                  int64_t cols) {
  if (rows > 0 && cols > 0) HWY_DYNAMIC_DISPATCH(map_binary)(function, a, b, out, rows, cols);
}
}  // namespace amct
#endif
