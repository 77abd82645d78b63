// Where the library's own types meet the public ones, which have the same names in the inline namespace v1. Headers of
// the library come first, then this one, then those of include/amct.
#pragma once

#include "base/error.h"

namespace amct {
using LibraryError = Error;
using LibraryErrorCode = ErrorCode;
}  // namespace amct

#include "amct/error.h"

namespace amct {
inline namespace v1 {

ErrorCode to_public(LibraryErrorCode code);

// Calls f; errors of the library leave as errors of the public interface.
template <typename F>
auto through_seam(F&& f) {
  try {
    return f();
  } catch (const LibraryError& error) {
    throw Error(to_public(error.code()), error.what());
  }
}

}  // namespace v1
}  // namespace amct
