#include "ir/attrs.h"

#include <fmt/core.h>

#include <algorithm>

namespace amct {
namespace {

auto position_of(const std::vector<std::pair<std::string, AttrValue>>& items, std::string_view name) {
  return std::lower_bound(items.begin(), items.end(), name,
                          [](const auto& item, std::string_view key) { return item.first < key; });
}

}  // namespace

Attrs::Attrs(std::initializer_list<std::pair<std::string, AttrValue>> items) {
  for (const auto& [name, value] : items) set(name, value);
}
Attrs::Attrs(const Attrs&) = default;
Attrs::Attrs(Attrs&&) noexcept = default;
Attrs& Attrs::operator=(const Attrs&) = default;
Attrs& Attrs::operator=(Attrs&&) noexcept = default;
Attrs::~Attrs() = default;

void Attrs::set(std::string_view name, AttrValue value) {
  const auto at = items_.begin() + (position_of(items_, name) - items_.cbegin());
  if (at != items_.end() && at->first == name) {
    at->second = std::move(value);
  } else {
    items_.emplace(at, std::string(name), std::move(value));
  }
}

void Attrs::erase(std::string_view name) {
  const auto at = position_of(items_, name);
  if (at != items_.cend() && at->first == name) items_.erase(items_.begin() + (at - items_.cbegin()));
}

const AttrValue* Attrs::find(std::string_view name) const {
  const auto at = position_of(items_, name);
  return at != items_.cend() && at->first == name ? &at->second : nullptr;
}

void Attrs::missing(std::string_view name) {
  throw Error(ErrorCode::kInput, fmt::format("attribute '{}' is missing", name));
}

void Attrs::wrong_type(std::string_view name) {
  throw Error(ErrorCode::kInput, fmt::format("attribute '{}' has a wrong type", name));
}

bool same_attrs(const Attrs& a, const Attrs& b) {
  if (a.items().size() != b.items().size()) return false;
  for (size_t i = 0; i < a.items().size(); ++i) {
    const auto& [name_a, value_a] = a.items()[i];
    const auto& [name_b, value_b] = b.items()[i];
    if (name_a != name_b || value_a.index() != value_b.index()) return false;
    const bool same = std::visit(
        [&]<typename T>(const T& value) {
          const T& other = std::get<T>(value_b);
          if constexpr (std::is_same_v<T, Tensor>)
            return value.same_bytes(other);
          else
            return value == other;
        },
        value_a);
    if (!same) return false;
  }
  return true;
}

}  // namespace amct
