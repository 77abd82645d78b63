// The little languages of the command line: --input-shape, --data-types and --preprocess, one a line.
#include "cli/command.h"
#include "fuzz/fuzz_input.h"

using namespace amct;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  DataArguments arguments;
  std::string rest(fuzz::text_of(data, size));
  const auto line = [&rest] {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string result = rest.substr(0, end);
    rest.erase(0, end + 1);
    return result;
  };
  arguments.preprocess = line();
  arguments.input_shapes = {line(), line()};
  arguments.data_types = {line()};
  fuzz::accepts([&] { (void)arguments.options(); });
  return 0;
}
