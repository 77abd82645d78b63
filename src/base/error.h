// The one exception type of amct, and the collector that reports all faults of a stage at once.
//
// Every error reads as one line that says what is wrong, where, and what to do:
//   error: weight 'conv1.weight' holds NaN, in node 'conv1' of model.onnx; retrain or repair the weight
// Library code throws `Error`; only `main` and the bindings catch it. Foreign exceptions (oneDNN, protobuf, the
// standard library) are caught at the seam where they arise and rethrown as `Error`.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace amct {

enum class ErrorCode {
  kInput,        // a file or array of the user is faulty
  kConfig,       // a command line, configuration or plan is faulty
  kUnsupported,  // valid, but beyond what amct can do
  kNumeric,      // NaN, infinity or overflow in the user's numbers
  kResource,     // disk full, file not writable, out of memory
  kInternal,     // our own mistake
};

// Where an error arose. Empty fields are left out of the message.
struct Where {
  std::string model;  // path of the model file
  std::string node;   // layer key
  std::string op;     // operator
  std::string file;   // configuration or data file
  int line = 0;       // 1-based position in `file`; 0 = not known
  int column = 0;
};

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message);
  Error(ErrorCode code, std::string message, Where where, std::string hint = {});
  // In error.cc: nearly every file throws, and each would compile its own.
  Error(const Error&);
  Error(Error&&) noexcept;
  Error& operator=(const Error&);
  Error& operator=(Error&&) noexcept;
  ~Error() override;

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const Where& where() const { return where_; }
  const std::string& hint() const { return hint_; }

  // The same error with the fields of `outer` filled in where this one leaves them empty.
  Error with(const Where& outer) const;

  // One line: "<message>, <where>; <hint>".
  const char* what() const noexcept override { return line_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
  Where where_;
  std::string hint_;
  std::string line_;
};

// Process exit code of an error: 1 user error, 2 unsupported, 3 internal (0 is success).
int exit_code(ErrorCode code);

// Several errors of one stage, reported together.
class ErrorList : public Error {
 public:
  explicit ErrorList(std::vector<Error> errors);
  const std::vector<Error>& errors() const { return errors_; }

 private:
  std::vector<Error> errors_;
};

// Collects the faults of a stage: `add` as they are found, `throw_if_any` at the end of the stage.
class Faults {
 public:
  void add(Error error);
  bool empty() const { return errors_.empty(); }
  void throw_if_any() const;

 private:
  std::vector<Error> errors_;
};

// The candidate closest to `name` by edit distance, or "" when none is close: feeds "did you mean …" hints.
std::string closest(std::string_view name, const std::vector<std::string>& candidates);

// `file` and `line` are the caller's (std::source_location is beyond clang 14 with GCC 12's library).
[[noreturn]] void internal_error(std::string_view message, const char* file = __builtin_FILE(),
                                 int line = __builtin_LINE());

}  // namespace amct

// For our own mistakes only: stays on in release builds, must not be reachable from bad input.
#define AMCT_CHECK(condition, message)                 \
  do {                                                 \
    if (!(condition)) ::amct::internal_error(message); \
  } while (false)
