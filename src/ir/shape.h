// Shapes as the graph knows them: a dim is fixed, named (two dims of one name are equal) or unknown; a shape may lack
// even its rank. Concrete extents, as the executor and tensors have them, are plain `Dims`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ir/dtype.h"

namespace amct {

using Dims = std::vector<int64_t>;

class Dim {
 public:
  Dim() = default;                          // unknown
  Dim(int64_t extent) : extent_(extent) {}  // NOLINT(google-explicit-constructor): dims read as numbers
  static Dim named(std::string name) {
    Dim dim;
    if (!name.empty()) dim.name_ = std::make_shared<const std::string>(std::move(name));
    return dim;
  }
  bool is_fixed() const { return extent_ >= 0; }
  bool is_named() const { return name_ != nullptr; }
  bool is_unknown() const { return extent_ < 0 && name_ == nullptr; }
  int64_t extent() const { return extent_; }  // >= 0 if fixed, else -1
  const std::string& name() const;            // "" if it has none
  // Unknown == unknown: equal as descriptions, not as extents.
  bool operator==(const Dim& other) const {
    return extent_ == other.extent_ && (name_ == other.name_ || name() == other.name());
  }

 private:
  int64_t extent_ = -1;
  std::shared_ptr<const std::string> name_;  // shared: shapes are copied all the time, names are few
};

class Shape {
 public:
  Shape() = default;  // unknown rank
  explicit Shape(std::vector<Dim> dims);
  Shape(const Shape&);
  Shape(Shape&&) noexcept;
  Shape& operator=(const Shape&);
  Shape& operator=(Shape&&) noexcept;
  ~Shape();
  static Shape of(const Dims& dims);
  static Shape of_rank(size_t rank);

  bool ranked() const { return ranked_; }
  size_t rank() const { return dims_.size(); }  // 0 when not ranked: ask ranked() first
  const std::vector<Dim>& dims() const { return dims_; }
  const Dim& operator[](size_t axis) const { return dims_[axis]; }
  Dim& operator[](size_t axis) { return dims_[axis]; }
  bool is_fixed() const;                         // ranked, and every dim is fixed
  std::optional<Dims> fixed() const;             // the extents if is_fixed()
  std::optional<int64_t> element_count() const;  // nullopt if not fixed or overflowing
  std::string to_string() const;                 // "[1, 3, H, ?]", "[]" for a scalar, "?" without rank
  bool operator==(const Shape&) const = default;

 private:
  bool ranked_ = false;
  std::vector<Dim> dims_;
};

struct TensorType {
  DType dtype = DType::kUndefined;
  Shape shape;
  bool operator==(const TensorType&) const = default;
};

std::string to_string(const Dims& dims);  // "[1, 3, 224, 224]"
int64_t element_count(const Dims& dims);  // product; the extents must be known to be sane (see checked_product)

}  // namespace amct
