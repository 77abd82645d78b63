// A small program for the Python tests: drives the ONNX reader and writer on files.
//
//   onnx_tool roundtrip IN OUT [OPSET]   reads IN and writes it back
//   onnx_tool external IN OUT BYTES      the same, with the weights beside the model from so many bytes on
//   onnx_tool text IN                    prints the graph's text form
//   onnx_tool samples DIR                writes the samples of all rows (dump_samples.h)
//   onnx_tool conformance DIR            runs the ONNX project's backend tests below DIR (conformance.h)
//   onnx_tool run DIR                    runs the models below DIR on the tensors beside them (run_models.h)
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/load_onnx.h"
#include "ir/text.h"
#include "support/conformance.h"
#include "support/dump_samples.h"
#include "support/run_models.h"

namespace {

int roundtrip(const std::vector<std::string>& args) {
  const amct::Graph graph = amct::load_onnx(args.at(0));
  size_t opaque = 0;
  for (const amct::NodeId id : graph.nodes()) opaque += graph.node(id).is_opaque() ? 1 : 0;
  amct::write_onnx(graph, args.at(1), {.opset = args.size() > 2 ? std::atoll(args[2].c_str()) : 0});
  std::printf("nodes %zu opaque %zu\n", graph.node_count(), opaque);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args.size() >= 3 && args[0] == "roundtrip") return roundtrip({args.begin() + 1, args.end()});
    if (args.size() == 4 && args[0] == "external") {
      amct::write_onnx(amct::load_onnx(args[1]), args[2], {.external_data_from = std::stoull(args[3])});
      return 0;
    }
    if (args.size() == 2 && args[0] == "text") return std::puts(amct::to_text(amct::load_onnx(args[1])).c_str()) < 0;
    if (args.size() == 2 && args[0] == "samples") return amct::testing::dump_samples(args[1]);
    if (args.size() == 2 && args[0] == "conformance") return amct::testing::run_conformance(args[1]);
    if (args.size() == 2 && args[0] == "run") return amct::testing::run_models(args[1]);
    std::fprintf(stderr,
                 "usage: onnx_tool roundtrip IN OUT [OPSET] | external IN OUT BYTES | text IN | samples DIR | "
                 "conformance DIR | run DIR\n");
    return 64;
  } catch (const amct::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return amct::exit_code(error.code());
  }
}
