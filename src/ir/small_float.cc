#include "ir/small_float.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace amct {
namespace {

struct Format {
  int mantissa, bias;
  uint8_t sign, largest, infinity, nan;  // codes; infinity = nan where there is none
  bool unsigned_zero;                    // the code of -0 is NaN
};

constexpr Format kE4M3FN{3, 7, 0x80, 0x7e, 0x7f, 0x7f, false};
constexpr Format kE4M3FNUZ{3, 8, 0x80, 0x7f, 0x80, 0x80, true};
constexpr Format kE5M2{2, 15, 0x80, 0x7b, 0x7c, 0x7f, false};
constexpr Format kE5M2FNUZ{2, 16, 0x80, 0x7f, 0x80, 0x80, true};
constexpr Format kE2M1{1, 1, 0x08, 0x07, 0x07, 0x07, false};

const Format& format_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat8E4M3FN: return kE4M3FN;
    case DType::kFloat8E4M3FNUZ: return kE4M3FNUZ;
    case DType::kFloat8E5M2: return kE5M2;
    case DType::kFloat8E5M2FNUZ: return kE5M2FNUZ;
    case DType::kFloat4E2M1: return kE2M1;
    default: break;
  }
  internal_error("no 8- or 4-bit float");
}

float value_of(const Format& f, uint8_t code) {
  if (f.unsigned_zero && code == f.sign) return std::numeric_limits<float>::quiet_NaN();
  const auto magnitude = static_cast<uint8_t>(code & (f.sign - 1));
  const float sign = (code & f.sign) != 0 ? -1.0f : 1.0f;
  if (magnitude > f.largest) {
    return magnitude == f.infinity && f.infinity != f.nan
               ? sign * std::numeric_limits<float>::infinity()
               : std::copysign(std::numeric_limits<float>::quiet_NaN(), sign);
  }
  const int exponent = magnitude >> f.mantissa;
  const int fraction = magnitude & ((1 << f.mantissa) - 1);
  const int normal = exponent > 0 ? 1 << f.mantissa : 0;
  return sign * std::ldexp(static_cast<float>(normal + fraction), std::max(exponent, 1) - f.bias - f.mantissa);
}

std::array<float, 256> table_of(const Format& f) {
  std::array<float, 256> values{};
  for (size_t code = 0; code < values.size(); ++code) {
    values[code] = value_of(f, static_cast<uint8_t>(code & static_cast<size_t>(2 * f.sign - 1)));
  }
  return values;
}

}  // namespace

bool is_small_float(DType dtype) { return is_floating(dtype) && bit_width(dtype) <= 8; }

const std::array<float, 256>& small_float_values(DType dtype) {
  static const std::array<std::array<float, 256>, 5> kTables = {table_of(kE4M3FN), table_of(kE4M3FNUZ), table_of(kE5M2),
                                                                table_of(kE5M2FNUZ), table_of(kE2M1)};
  switch (dtype) {
    case DType::kFloat8E4M3FN: return kTables[0];
    case DType::kFloat8E4M3FNUZ: return kTables[1];
    case DType::kFloat8E5M2: return kTables[2];
    case DType::kFloat8E5M2FNUZ: return kTables[3];
    case DType::kFloat4E2M1: return kTables[4];
    default: break;
  }
  internal_error("no 8- or 4-bit float");
}

uint8_t small_float_code(DType dtype, float value, bool saturate) {
  const Format& f = format_of(dtype);
  const uint8_t sign = std::signbit(value) ? f.sign : 0;
  if (std::isnan(value)) return f.unsigned_zero ? f.nan : static_cast<uint8_t>(f.nan | (f.nan > f.largest ? sign : 0));
  const bool infinite = std::isinf(value);
  int64_t magnitude = 0;
  if (!infinite && value != 0) {
    const int exponent = std::max(std::ilogb(value), 1 - f.bias);
    const auto steps = static_cast<int64_t>(std::nearbyint(std::ldexp(std::abs(value), f.mantissa - exponent)));
    magnitude = (static_cast<int64_t>(exponent + f.bias) << f.mantissa) + steps - (int64_t{1} << f.mantissa);
  }
  if (infinite || magnitude > f.largest) {
    const uint8_t beyond = saturate || dtype == DType::kFloat4E2M1 ? f.largest : f.infinity;
    return beyond == f.sign ? beyond : static_cast<uint8_t>(beyond | sign);
  }
  if (magnitude == 0 && f.unsigned_zero) return 0;
  return static_cast<uint8_t>(magnitude | sign);
}

}  // namespace amct
