#include "base/suggestion.h"

#include <fmt/format.h>

#include "base/error.h"

namespace amct {

std::string suggestion(std::string_view name, const std::vector<std::string>& known, std::string otherwise) {
  const std::string near = closest(name, known);
  return near.empty() ? otherwise : fmt::format("did you mean '{}'?", near);
}

}  // namespace amct
