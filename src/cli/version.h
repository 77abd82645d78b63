// The version of the program, in one place.
#pragma once

namespace amct {

inline constexpr char kVersion[] = AMCT_VERSION;

}  // namespace amct
