// Writes every sample of every row as a model of one node, at several opsets, with its inputs and with what our kernels
// compute from them, for a comparison with another runtime. What is read back from the newest file must compute the
// same bits.
//
// A case is a folder `<row>__<sample>__<opset>` with model.onnx, input_<i>.pb (graph inputs), plain_<i>.pb (outputs of
// the plain kernel) and compiled_<i>.pb (outputs of the compiled program). What is left out is printed with its reason.
#pragma once

#include <filesystem>

namespace amct::testing {

int dump_samples(const std::filesystem::path& folder);

}  // namespace amct::testing
