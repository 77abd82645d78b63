#include "support/run_models.h"

#include <cstdio>

#include "exec/session.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/load_onnx.h"
#include "ops/opaque.h"
#include "support/tensor_files.h"

namespace amct::testing {
namespace {

void run_and_save(const Graph& graph, const std::filesystem::path& folder, const char* stem, bool compiled) {
  for (const NodeId id : graph.nodes()) {
    if (!graph.node(id).is_opaque()) continue;
    throw Error(ErrorCode::kUnsupported, graph.node(id).attrs.get<std::string>(kOpaqueReason, "opaque"));
  }
  Session session(graph, CompileOptions{.compiled_kernels = compiled});
  const std::vector<Tensor> outputs = session.run(load_tensors(folder, "input"));
  for (size_t i = 0; i < outputs.size(); ++i) {
    save_tensor(outputs[i], folder / (std::string(stem) + "_" + std::to_string(i) + ".pb"));
  }
}

}  // namespace

int run_models(const std::filesystem::path& root) {
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::filesystem::path folder = entry.path();
    try {
      const Graph graph = load_onnx(folder / "model.onnx");
      run_and_save(graph, folder, "plain", false);
      run_and_save(graph, folder, "compiled", true);
      write_onnx(graph, folder / "copy.onnx");
      run_and_save(load_onnx(folder / "copy.onnx"), folder, "copy", true);
    } catch (const Error& error) {
      std::printf("error %s: %s\n", folder.filename().string().c_str(), error.what());
    }
  }
  return 0;
}

}  // namespace amct::testing
