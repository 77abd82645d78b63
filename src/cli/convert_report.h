// How what `convert` did is told: the same under each name of the program.
#pragma once

#include "cli/command.h"
#include "workflow/convert.h"

namespace amct {

std::string to_text(const ConvertReport& report);
void print_report(const ConvertReport& report, const GlobalOptions& global);

}  // namespace amct
