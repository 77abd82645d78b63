#include "support/dump_samples.h"

#include <fmt/format.h>

#include <cstdio>

#include "exec/session.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/load_onnx.h"
#include "support/sample_node.h"
#include "support/tensor_files.h"

namespace amct::testing {
namespace {

constexpr int64_t kOpsets[] = {23, 21, 13, 11};
constexpr uint64_t kSeed = 7;

bool has_onnx_spelling(const OpRow& row) {
  for (const Spelling& spelling : row.spellings) {
    if (spelling.framework == Framework::kOnnx) return true;
  }
  return false;
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

// A model that is read back computes the same bits.
void check_read_back(const SampleNode& made, const std::filesystem::path& path) {
  const CompileOptions plain{.compiled_kernels = false};
  const std::vector<Tensor> before = Session(made.graph, plain).run(feeds_of(made));
  const std::vector<Tensor> after = Session(load_onnx(path), plain).run(feeds_of(made));
  if (before.size() != after.size()) throw Error(ErrorCode::kInternal, "the number of outputs changed on the way");
  for (size_t i = 0; i < before.size(); ++i) {
    if (!before[i].same_bytes(after[i])) {
      throw Error(ErrorCode::kInternal, fmt::format("output {} changed on the way through the file", i));
    }
  }
}

// Writes the case, if the row has a form at this opset; the reason why not otherwise.
std::string dump(const OpRow& row, const Sample& sample, int64_t opset, const std::filesystem::path& folder) {
  const SampleNode made = make_sample_node(row, with_float_attrs(sample), kSeed, opset);
  std::filesystem::create_directories(folder);
  try {
    write_onnx(made.graph, folder / "model.onnx");
  } catch (const Error& error) {
    std::filesystem::remove_all(folder);
    if (error.code() == ErrorCode::kUnsupported) return error.what();
    throw;
  }
  if (opset == kOpsets[0] && row.deterministic) check_read_back(made, folder / "model.onnx");
  const auto save = [&](const std::vector<Tensor>& tensors, const char* stem) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i]) save_tensor(tensors[i], folder / fmt::format("{}_{}.pb", stem, i));
    }
  };
  save(feeds_of(made), "input");
  if (row.run != nullptr) save(run_node(made.node(), made.inputs), "plain");
  save(Session(made.graph).run(feeds_of(made)), "compiled");
  return {};
}

}  // namespace

int dump_samples(const std::filesystem::path& folder) {
  for (const OpRow& row : op_table().rows()) {
    if (!has_onnx_spelling(row)) {
      std::printf("no-spelling %s\n", row.name.c_str());
      continue;
    }
    for (const Sample& sample : row.samples()) {
      if (sample.skip_onnx_runtime) {
        std::printf("skipped %s/%s: %s\n", row.name.c_str(), sample.name.c_str(), sample.reason.c_str());
        continue;
      }
      size_t written = 0;
      std::string reason;
      for (const int64_t opset : kOpsets) {
        try {
          reason = dump(row, sample, opset, folder / fmt::format("{}__{}__{}", row.name, sample.name, opset));
          written += reason.empty() ? 1 : 0;
        } catch (const Error& error) {
          std::printf("error %s/%s at opset %d: %s\n", row.name.c_str(), sample.name.c_str(), static_cast<int>(opset),
                      error.what());
          ++written;
        }
      }
      if (written == 0) std::printf("error %s/%s: %s\n", row.name.c_str(), sample.name.c_str(), reason.c_str());
    }
  }
  return 0;
}

}  // namespace amct::testing
