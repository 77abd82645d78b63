// Runs models on tensors that a Python test has written.
#pragma once

#include <filesystem>

namespace amct::testing {

// For each folder of `root` with a model.onnx: runs it on input_0.pb, …, and writes plain_0.pb, … (plain kernels),
// compiled_0.pb, … and copy_0.pb, … (compiled, after writing and reading the model back). Faults are printed as
// "error <folder>: <what>". Returns 0.
int run_models(const std::filesystem::path& root);

}  // namespace amct::testing
