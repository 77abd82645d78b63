// A small program for the Python tests: drives the ONNX reader and writer on files.
//
//   onnx_tool roundtrip IN OUT [OPSET]   reads IN and writes it back
//   onnx_tool text IN                    prints the graph's text form
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/load_onnx.h"

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
    std::fprintf(stderr, "usage: onnx_tool roundtrip IN OUT [OPSET]\n");
    return 64;
  } catch (const amct::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return amct::exit_code(error.code());
  }
}
