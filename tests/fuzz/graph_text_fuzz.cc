// The graph's text form: what is read is printed, and reads back as the same text.
#include "fuzz/fuzz_input.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "ops/verify_ops.h"

using namespace amct;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto find_row = [](std::string_view name) { return op_table().find(name); };
  fuzz::accepts([&] {
    Graph graph = parse_text(fuzz::text_of(data, size), find_row);
    const auto faults = verify(graph);
    fuzz::check(faults.empty(), faults.empty() ? "" : faults.front());
    const std::string printed = to_text(graph, TextOptions::full());
    fuzz::check(fuzz::accepts([&] { graph = parse_text(printed, find_row); }), "printed text is refused:\n" + printed);
    fuzz::check(to_text(graph, TextOptions::full()) == printed, "printed text reads as another graph:\n" + printed);
    if (verify_ops(graph).empty()) update_types(graph);  // no reader lets nodes through that break their schema
  });
  return 0;
}
