// What every function of the library throws: one line that says what is wrong, where, and what to do.
#pragma once

#include <stdexcept>
#include <string>

#define AMCT_API __attribute__((visibility("default")))

namespace amct {
inline namespace v1 {

enum class ErrorCode {
  kInput,        // a file or array is faulty
  kConfig,       // an option, configuration or plan is faulty
  kUnsupported,  // valid, but beyond what the library can do
  kNumeric,      // NaN, infinity or overflow in the model's numbers
  kResource,     // disk full, file not writable, out of memory
  kInternal,     // a mistake of the library
};

class AMCT_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& line);
  ~Error() override;
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace v1
}  // namespace amct
