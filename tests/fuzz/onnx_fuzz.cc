// An ONNX file through everything but running it: import, shape rules, simplification, fusion, export, import of that.
#include <algorithm>

#include "export/onnx/write_onnx.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/wire_mutator.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "workflow/inspect.h"
#include "workflow/model.h"

using namespace amct;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool external = [] {
    std::ofstream(fuzz::scratch() / "w") << std::string(256, '\x3f');
    return true;
  }();
  (void)external;
  fuzz::accepts([&] {
    Graph graph = load_model(fuzz::as_file(data, size, "model.onnx"));
    (void)inspect(graph);
    (void)to_text(graph);
    (void)prepare(graph);
    const auto faults = verify(graph);
    fuzz::check(faults.empty(), faults.empty() ? "" : faults.front());
    const auto written = fuzz::scratch() / "written.onnx";
    write_onnx(graph, written, {.external_data_from = 4096});
    (void)load_model(written);
  });
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  static fuzz::WireMutator mutator;
  if (seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string mutant = mutator.mutate(fuzz::text_of(data, size), max_size, seed);
  if (mutant.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(mutant.begin(), mutant.end(), data);
  return mutant.size();
}
