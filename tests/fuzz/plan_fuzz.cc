// A plan as JSON: what is read is printed, and reads back as the same text.
#include "fuzz/fuzz_input.h"
#include "recipe/plan_json.h"

using namespace amct;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts([&] {
    const std::string printed = format_plan(parse_plan(fuzz::text_of(data, size), "plan.json").plan);
    std::string again;
    fuzz::check(fuzz::accepts([&] { again = format_plan(parse_plan(printed, "plan.json").plan); }),
                "a printed plan is refused:\n" + printed);
    fuzz::check(again == printed, "a printed plan reads as another one:\n" + printed);
  });
  return 0;
}
