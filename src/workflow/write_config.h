// The verb `config`: the explicit configuration of a model (spec B.2).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace amct {

struct WrittenConfig {
  std::string text;
  size_t layers = 0;
  std::vector<std::string> downgrades;  // settings that layers cannot have, and what they have instead
};

// `from` is a simplified configuration, or empty for the defaults; `out` empty writes no file. Throws Error.
WrittenConfig write_config(const std::filesystem::path& model, const std::filesystem::path& from,
                           const std::filesystem::path& out);

}  // namespace amct
