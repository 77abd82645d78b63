// Runs the ONNX project's backend tests: folders with model.onnx and test_data_set_<k>/{input,output}_<i>.pb.
#pragma once

#include <filesystem>

namespace amct::testing {

// Prints one line a case: "pass NAME", "refused NAME: reason" or "fail NAME: reason". Each case runs in a process of
// its own, so that a crash or a hang is the fault of one case. 0 if that worked; what passed is the caller's to judge.
int run_conformance(const std::filesystem::path& root);

}  // namespace amct::testing
