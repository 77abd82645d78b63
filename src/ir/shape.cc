#include "ir/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/checked_math.h"

namespace amct {

const std::string& Dim::name() const {
  static const std::string none;
  return name_ != nullptr ? *name_ : none;
}

Shape::Shape(std::vector<Dim> dims) : ranked_(true), dims_(std::move(dims)) {}
Shape::Shape(const Shape&) = default;
Shape::Shape(Shape&&) noexcept = default;
Shape& Shape::operator=(const Shape&) = default;
Shape& Shape::operator=(Shape&&) noexcept = default;
Shape::~Shape() = default;
Shape Shape::of(const Dims& dims) { return Shape(std::vector<Dim>(dims.begin(), dims.end())); }
Shape Shape::of_rank(size_t rank) { return Shape(std::vector<Dim>(rank)); }

bool Shape::is_fixed() const {
  if (!ranked_) return false;
  for (const Dim& dim : dims_) {
    if (!dim.is_fixed()) return false;
  }
  return true;
}

std::optional<Dims> Shape::fixed() const {
  if (!is_fixed()) return std::nullopt;
  Dims dims;
  dims.reserve(dims_.size());
  for (const Dim& dim : dims_) dims.push_back(dim.extent());
  return dims;
}

std::optional<int64_t> Shape::element_count() const {
  const auto dims = fixed();
  return dims ? checked_product(*dims) : std::nullopt;
}

std::string Shape::to_string() const {
  if (!ranked_) return "?";
  std::string text = "[";
  for (size_t i = 0; i < dims_.size(); ++i) {
    if (i > 0) text += ", ";
    if (dims_[i].is_fixed()) {
      text += std::to_string(dims_[i].extent());
    } else {
      text += dims_[i].is_named() ? dims_[i].name() : "?";
    }
  }
  return text + "]";
}

std::string to_string(const Dims& dims) { return fmt::format("[{}]", fmt::join(dims, ", ")); }

int64_t element_count(const Dims& dims) {
  int64_t count = 1;
  for (const int64_t extent : dims) count *= extent;
  return count;
}

}  // namespace amct
