// The hint of an error about a name that is not known: the known one that is meant, if there is one close to it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace amct {

// "did you mean 'conv1'?", or `otherwise` where no known name is close (`closest`).
std::string suggestion(std::string_view name, const std::vector<std::string>& known, std::string otherwise = {});

}  // namespace amct
