// The program under the name `amct_onnx`: AMCT's command line for ONNX models (spec F.1), `calibration` and `convert`,
// with its flags, rules, defaults, file names, permissions and log.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace amct {

// Whether the program was called by that name: the last part of `program`.
bool is_amct_onnx(std::string_view program);

void add_amct_onnx_commands(CLI::App& app, const GlobalOptions& global);

// The command line as CLI11 takes it (last word first), with shortened flags spelled out: AMCT takes any beginning that
// only one of the command's flags has, and many scripts say --data_type.
std::vector<std::string> amct_onnx_arguments(const CLI::App& app, int argc, char** argv);

}  // namespace amct
