// A small program for the Python tests: turns the samples of the operator rows into ONNX models with inputs and
// outputs.
//
//   sample_tool FOLDER [row…]
//
// Writes FOLDER/<row>.<sample>/ with model.onnx, input_<i>.npy (graph inputs only) and output_<i>.npy from the plain
// kernel, checks that the model read back computes the same bits, and prints one line a sample: "ok", "skip <reason>"
// or "fail <reason>".
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "data/npy.h"
#include "exec/session.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/load_onnx.h"
#include "ops/lowering_harness.h"

namespace {

using namespace amct;

bool has_numpy_type(const Tensor& tensor) {
  return !tensor || (tensor.dtype() != DType::kBFloat16 && bit_width(tensor.dtype()) != 4);
}

std::string check_read_back(const std::filesystem::path& path, const std::vector<Tensor>& inputs,
                            const std::vector<Tensor>& expected) {
  Session session(load_onnx(path), {.compiled_kernels = false});
  const std::vector<Tensor> outputs = session.run(inputs);
  if (outputs.size() != expected.size()) return "fail the number of outputs changed";
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].same_bytes(expected[i])) return fmt::format("fail output {} changed on the way", i);
  }
  return "ok";
}

// ONNX keeps floating-point attributes in single precision.
Sample with_float_attrs(Sample sample) {
  const auto items = sample.attrs.items();
  for (const auto& [name, value] : items) {
    if (const double* number = std::get_if<double>(&value)) {
      sample.attrs.set(name, static_cast<double>(static_cast<float>(*number)));
    }
  }
  return sample;
}

// ONNX Runtime has no kernel of the later version of this operator.
int64_t opset_of(const OpRow& row) { return row.name == "global_lp_pool" ? 21 : 23; }

std::string write_sample(const OpRow& row, const Sample& sample, const std::filesystem::path& folder) {
  if (sample.skip_onnx_runtime) return "skip " + sample.reason;
  if (!row.deterministic) return "skip it draws random numbers";
  test::NodeCase c = test::make_case(row, with_float_attrs(sample), 1234);
  const std::vector<Tensor> outputs = run_node(c.get(), c.inputs);
  if (!std::all_of(c.inputs.begin(), c.inputs.end(), has_numpy_type) ||
      !std::all_of(outputs.begin(), outputs.end(), has_numpy_type)) {
    return "skip numpy lacks the type";
  }
  c.graph.info.opsets[""] = opset_of(row);
  c.graph.info.ir_version = 10;
  c.graph.set_outputs(c.get().outputs);
  std::filesystem::create_directories(folder);
  write_onnx(c.graph, folder / "model.onnx");
  std::vector<Tensor> fed;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.inputs[i] || c.graph.constant(c.get().inputs[i]) != nullptr) continue;
    write_npy(folder / fmt::format("input_{}.npy", fed.size()), c.inputs[i].view());
    fed.push_back(c.inputs[i]);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    write_npy(folder / fmt::format("output_{}.npy", i), outputs[i].view());
  }
  return check_read_back(folder / "model.onnx", fed, outputs);
}

bool is_onnx(const OpRow& row) {
  return std::any_of(row.spellings.begin(), row.spellings.end(), [](const Spelling& spelling) {
    return spelling.framework == Framework::kOnnx && spelling.domain.empty();
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: sample_tool FOLDER [row…]\n");
    return 64;
  }
  const std::vector<std::string> wanted(argv + 2, argv + argc);
  for (const OpRow& row : op_table().rows()) {
    if (!is_onnx(row) || (!wanted.empty() && std::find(wanted.begin(), wanted.end(), row.name) == wanted.end()))
      continue;
    for (const Sample& sample : row.samples()) {
      const std::string name = fmt::format("{}.{}", row.name, sample.name);
      std::string result;
      try {
        result = write_sample(row, sample, std::filesystem::path(argv[1]) / name);
      } catch (const std::exception& error) {
        result = fmt::format("fail {}", error.what());
      }
      std::printf("%s %s\n", name.c_str(), result.c_str());
    }
  }
  return 0;
}
