// A record file, and protobuf's text format below it: what is read is printed, and reads back as the same records.
#include "fuzz/fuzz_input.h"
#include "recipe/record_file.h"

using namespace amct;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts([&] {
    const auto records = parse_records(fuzz::text_of(data, size), "record.txt");
    const std::string printed = format_records(records);
    std::vector<LayerRecord> again;
    fuzz::check(fuzz::accepts([&] { again = parse_records(printed, "record.txt"); }),
                "printed records are refused:\n" + printed);
    fuzz::check(again == records, "printed records read as others:\n" + printed);
  });
  return 0;
}
