// Attributes of a node: named, typed values. Only what was set is stored; defaults live in the operator's row.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ir/tensor.h"

namespace amct {

class Graph;

using AttrValue = std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>, Tensor, std::shared_ptr<const Graph>>;

class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string, AttrValue>> items);
  Attrs(const Attrs&);
  Attrs(Attrs&&) noexcept;
  Attrs& operator=(const Attrs&);
  Attrs& operator=(Attrs&&) noexcept;
  ~Attrs();

  void set(std::string_view name, AttrValue value);
  void erase(std::string_view name);
  const AttrValue* find(std::string_view name) const;  // null if not set
  bool has(std::string_view name) const { return find(name) != nullptr; }
  bool empty() const { return items_.empty(); }

  // The value as T; `fallback` if it is not set. A value of another type is an Error(kInput).
  template <typename T>
  T get(std::string_view name, T fallback) const {
    const AttrValue* value = find(name);
    return value != nullptr ? as<T>(name, *value) : std::move(fallback);
  }
  // The value as T; Error(kInput) if it is not set.
  template <typename T>
  T require(std::string_view name) const {
    const AttrValue* value = find(name);
    if (value == nullptr) missing(name);
    return as<T>(name, *value);
  }

  // In order of names.
  const std::vector<std::pair<std::string, AttrValue>>& items() const { return items_; }

 private:
  template <typename T>
  static T as(std::string_view name, const AttrValue& value) {
    if (const T* typed = std::get_if<T>(&value)) return *typed;
    wrong_type(name);
  }
  [[noreturn]] static void missing(std::string_view name);
  [[noreturn]] static void wrong_type(std::string_view name);

  std::vector<std::pair<std::string, AttrValue>> items_;
};

bool same_attrs(const Attrs& a, const Attrs& b);  // tensors by bytes, subgraphs by identity

}  // namespace amct
