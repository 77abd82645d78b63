#include "api/seam.h"

namespace amct {
inline namespace v1 {

Error::Error(ErrorCode code, const std::string& line) : std::runtime_error(line), code_(code) {}
Error::~Error() = default;

ErrorCode to_public(LibraryErrorCode code) {
  switch (code) {
    case LibraryErrorCode::kInput: return ErrorCode::kInput;
    case LibraryErrorCode::kConfig: return ErrorCode::kConfig;
    case LibraryErrorCode::kUnsupported: return ErrorCode::kUnsupported;
    case LibraryErrorCode::kNumeric: return ErrorCode::kNumeric;
    case LibraryErrorCode::kResource: return ErrorCode::kResource;
    case LibraryErrorCode::kInternal: break;
  }
  return ErrorCode::kInternal;
}

}  // namespace v1
}  // namespace amct
