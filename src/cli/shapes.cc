#include "cli/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace amct {
namespace {

constexpr const char* kHint = "write it as \"input:1,3,224,224\", several separated by ';'; one extent may be -1";

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

}  // namespace

std::vector<std::string> split_list(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

ShapeOption parse_shape_option(std::string_view text, std::string_view option, Faults& faults) {
  const size_t colon = text.rfind(':');
  const bool is_named = colon != std::string_view::npos;
  ShapeOption shape{.name = is_named ? trimmed(text.substr(0, colon)) : std::string(), .dims = {}};
  const std::string owner = shape.name.empty() ? std::string() : fmt::format(" of '{}'", shape.name);
  const auto fault = [&](const std::string& what) {
    faults.add(Error(ErrorCode::kConfig, fmt::format("{}: {}", option, what), {}, kHint));
  };
  for (const std::string& part : split_list(is_named ? text.substr(colon + 1) : text, ',')) {
    int64_t extent = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), extent);
    if (error != std::errc() || end != part.data() + part.size() || (extent <= 0 && extent != -1)) {
      fault(fmt::format("'{}' is no extent{}", part, owner));
    }
    shape.dims.push_back(extent);
  }
  if (std::ranges::count(shape.dims, -1) > 1) {
    fault(fmt::format("'{}' has more than one -1", shape.name.empty() ? trimmed(text) : shape.name));
  }
  return shape;
}

}  // namespace amct
