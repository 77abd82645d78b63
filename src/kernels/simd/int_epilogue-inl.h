// Loads and stores of the vectors of int_epilogue.cc; compiled once per instruction set (see Highway's foreach_target).
#if defined(AMCT_KERNELS_SIMD_INT_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMCT_KERNELS_SIMD_INT_EPILOGUE_INL_H_
#undef AMCT_KERNELS_SIMD_INT_EPILOGUE_INL_H_
#else
#define AMCT_KERNELS_SIMD_INT_EPILOGUE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;  // scales are padded to 16
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;

// A vector's worth of elements, of which only `count` may be read.
template <typename T>
HWY_INLINE hn::Vec<hn::Rebind<T, DF>> load(const std::byte* at, size_t count) {
  const hn::Rebind<T, DF> d;
  if (count == hn::Lanes(d)) return hn::LoadU(d, reinterpret_cast<const T*>(at));
  HWY_ALIGN T copy[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(copy, at, count * sizeof(T));
  return hn::LoadU(d, copy);
}

template <typename T>
HWY_INLINE VF load_integers(const std::byte* at, size_t count) {
  return hn::ConvertTo(DF(), hn::PromoteTo(DI(), load<T>(at, count)));
}

// Adding it rounds to the nearest integer, ties to even, and leaves that in the lowest bits.
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23

// Stores the lowest bits of vectors of integers, plus `added`; the last vector has `count` elements.
template <typename T, int kVectors>
HWY_INLINE void store_low_bits(const hn::Vec<DI> (&v)[kVectors], int32_t added, T* y, size_t count) {
  using U = std::make_unsigned_t<T>;
  U* to = reinterpret_cast<U*>(y);
#if HWY_TARGET != HWY_SCALAR
  const hn::Repartition<uint16_t, DF> d16;
  const auto joined = [&](int i)
                          HWY_ATTR { return hn::ConcatEven(d16, hn::BitCast(d16, v[i + 1]), hn::BitCast(d16, v[i])); };
  const auto store = [&](auto d, auto integers) HWY_ATTR {
    hn::StoreU(hn::Add(integers, hn::Set(d, static_cast<U>(added))), d, to);
    to += hn::Lanes(d);
  };
  if constexpr (kVectors > 1 && sizeof(T) == 2) {
    for (int i = 0; i < kVectors; i += 2) store(d16, joined(i));
    return;
  } else if constexpr (kVectors == 4) {
    const hn::Repartition<uint8_t, DF> d8;
    return store(d8, hn::ConcatEven(d8, hn::BitCast(d8, joined(2)), hn::BitCast(d8, joined(0))));
  } else if constexpr (kVectors == 2) {
    const hn::Rebind<uint8_t, decltype(d16)> d8;
    return store(d8, hn::TruncateTo(d8, joined(0)));
  }
#endif
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<U, DF> narrow;
  const size_t lanes = hn::Lanes(du);
  for (int i = 0; i < kVectors; ++i, to += lanes) {
    const auto integers =
        hn::Add(hn::TruncateTo(narrow, hn::BitCast(du, v[i])), hn::Set(narrow, static_cast<U>(added)));
    if (count == lanes) {
      hn::StoreU(integers, narrow, to);
      continue;
    }
    HWY_ALIGN U copy[HWY_MAX_BYTES / sizeof(float)];
    hn::StoreU(integers, narrow, copy);
    std::memcpy(to, copy, count * sizeof(U));
  }
}

template <int kVectors>
HWY_INLINE void store_floats(const VF (&v)[kVectors], float* y, size_t count) {
  const DF d;
  for (int i = 0; i < kVectors; ++i, y += hn::Lanes(d)) {
    if (count == hn::Lanes(d)) {
      hn::StoreU(v[i], d, y);
      continue;
    }
    HWY_ALIGN float copy[HWY_MAX_BYTES / sizeof(float)];
    hn::Store(v[i], d, copy);
    std::memcpy(y, copy, count * sizeof(float));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
