// What is searched for before the samples are observed, because it changes what they show: the strength of activation
// balance (balance_search.h), which layers have non-uniform weights (nuq_search.h) and by what these are chosen
// (input_energies.h). Few samples decide it, in one
// process; parts of a calibration carry it, so that neither other shares nor the process that merges them search again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "workflow/nuq_search.h"

namespace amct {

struct Choice {
  std::map<std::string, std::optional<double>> strengths;  // by layer; not set: better without balance
  std::map<std::string, std::vector<float>> energies;      // by layer: of its input channels (input_energies.h)
  std::optional<NuqOutcome> nuq;                           // if layers were to be chosen
  bool operator==(const Choice&) const = default;

  // `read` throws Error(kInput).
  void write(ByteWriter& out) const;
  static Choice read(ByteReader& in);
};

}  // namespace amct
