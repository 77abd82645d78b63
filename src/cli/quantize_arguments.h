// What `quantize` and `calibrate` share: the model, the data and every setting that calibration depends on.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "workflow/quantize.h"

namespace amct {

struct QuantizeArguments {
  QuantizeRequest request;
  DataArguments data;
  std::vector<std::string> emit;
  std::string calibrate_weights;
  bool keep_bias = false;
  std::string search;   // a method; empty = the default
  std::string balance;  // a number or "search"; empty = not asked for

  void add_to(CLI::App& command, bool data_required);
  QuantizeRequest to_request(const GlobalOptions& global) const;  // throws Error(kConfig)
};

}  // namespace amct
