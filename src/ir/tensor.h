// Tensor: a shared, immutable block of elements with a type and extents (row-major). Copies share the bytes; the bytes
// may be owned or lie in a mapped file, which stays mapped as long as a tensor needs it.
//
// Not every tensor has its elements in memory where they can be computed with: a mapped payload may stand at an address
// that does not suit its type, and a *deferred* tensor is a recipe (quantized weights, which take as much memory as the
// model once all are made). `values` and `view` bring the elements into memory for good, when first asked; `resident`
// brings them for as long as its result lives. Who goes through large weights one by one takes the latter.
//
// TensorView / MutableView: raw memory with a type and extents, as kernels see it; they own nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "ir/dtype.h"
#include "ir/half.h"
#include "ir/shape.h"

namespace amct {

// DType of a C++ element type. 4-bit types have none: their elements are int8_t / uint8_t in memory.
template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::kFloat32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::kFloat64;
  else if constexpr (std::is_same_v<T, Half>)
    return DType::kFloat16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::kBFloat16;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::kBool;
  else if constexpr (std::is_same_v<T, int8_t>)
    return DType::kInt8;
  else if constexpr (std::is_same_v<T, int16_t>)
    return DType::kInt16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::kInt32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return DType::kInt64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::kUInt8;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return DType::kUInt16;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return DType::kUInt32;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return DType::kUInt64;
  else
    static_assert(sizeof(T) == 0, "no DType for this element type");
}

// True if memory of `dtype` may be read as elements of T.
template <typename T>
constexpr bool stored_as(DType dtype) {
  return dtype == dtype_of<T>() || (std::is_same_v<T, int8_t> && dtype == DType::kInt4) ||
         (std::is_same_v<T, uint8_t> && (dtype == DType::kUInt4 || (is_floating(dtype) && bit_width(dtype) <= 8)));
}

struct TensorView {
  DType dtype = DType::kUndefined;
  Dims dims;
  const void* data = nullptr;  // null = absent (an optional input that is not connected)

  explicit operator bool() const { return dtype != DType::kUndefined; }
  int64_t size() const { return element_count(dims); }
  size_t bytes() const { return static_cast<size_t>(size()) * element_bytes(dtype); }
  template <typename T>
  const T* as() const {
    AMCT_CHECK(stored_as<T>(dtype), "tensor read as the wrong type");
    return static_cast<const T*>(data);
  }
};

struct MutableView {
  DType dtype = DType::kUndefined;
  Dims dims;
  void* data = nullptr;

  explicit operator bool() const { return dtype != DType::kUndefined; }
  int64_t size() const { return element_count(dims); }
  size_t bytes() const { return static_cast<size_t>(size()) * element_bytes(dtype); }
  template <typename T>
  T* as() const {
    AMCT_CHECK(stored_as<T>(dtype), "tensor written as the wrong type");
    return static_cast<T*>(data);
  }
  operator TensorView() const { return {dtype, dims, data}; }  // NOLINT(google-explicit-constructor)
};

class Tensor {
 public:
  Tensor() = default;  // no tensor
  Tensor(const Tensor&);
  Tensor(Tensor&&) noexcept;
  Tensor& operator=(const Tensor&);
  Tensor& operator=(Tensor&&) noexcept;
  ~Tensor();
  // Shares `data`, of which the tensor's bytes are the first; whatever `data` owns stays alive. The address need not
  // suit the type.
  Tensor(DType dtype, Dims dims, std::shared_ptr<const std::byte> data);
  // A tensor that is made when somebody needs its elements. `make` gives a tensor of this type and these extents,
  // always the same; it may be called several times, from any thread.
  static Tensor deferred(DType dtype, Dims dims, std::function<Tensor()> make);

  // Memory for a new tensor, aligned to 64 bytes and not initialised; fill it through `mutable_data` before sharing.
  // Throws Error(kResource) when there is not enough memory.
  static Tensor allocate(DType dtype, Dims dims);
  template <typename T>
  static Tensor of(Dims dims, const std::vector<T>& values) {
    return copy_of(dtype_of<T>(), std::move(dims), std::as_bytes(std::span(values)));
  }
  template <typename T>
  static Tensor scalar(T value) {
    return of<T>({}, std::vector<T>{value});
  }
  static Tensor copy_of(DType dtype, Dims dims, std::span<const std::byte> bytes);
  static Tensor copy_of(const TensorView& view);

  explicit operator bool() const { return dtype_ != DType::kUndefined; }
  DType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  size_t rank() const { return dims_.size(); }
  int64_t size() const { return element_count(dims_); }
  size_t byte_size() const { return static_cast<size_t>(size()) * element_bytes(dtype_); }
  // True if the elements are in memory, fit to be computed with.
  bool is_resident() const;
  bool is_deferred() const;  // true if the elements are nowhere, or only as long as others need them
  // These elements in memory: the tensor itself, or a copy that goes with its last holder; at one time there is one.
  Tensor resident() const;
  const void* identity() const;              // equal for tensors that share their bytes
  std::span<const std::byte> bytes() const;  // at any address
  template <typename T>
  std::span<const T> values() const {
    AMCT_CHECK(stored_as<T>(dtype_), "tensor read as the wrong type");
    return {reinterpret_cast<const T*>(data()), static_cast<size_t>(size())};
  }
  template <typename T>
  std::span<T> mutable_values() {
    AMCT_CHECK(stored_as<T>(dtype_), "tensor written as the wrong type");
    return {reinterpret_cast<T*>(mutable_data()), static_cast<size_t>(size())};
  }
  std::byte* mutable_data();         // only between allocate() and the first copy
  Tensor reshaped(Dims dims) const;  // the same bytes under other extents of equal size
  TensorView view() const { return {dtype_, dims_, data()}; }
  MutableView mutable_view() { return {dtype_, dims_, mutable_data()}; }
  TensorType type() const { return {dtype_, Shape::of(dims_)}; }

  // All elements converted to double / int64 (any numeric type; bool gives 0 and 1).
  std::vector<double> to_doubles() const;
  std::vector<int64_t> to_int64s() const;
  Tensor cast(DType dtype) const;  // value conversion between numeric types, as ir/cast_element.h

  bool same_bytes(const Tensor& other) const;  // equal type, extents and bytes

 private:
  struct Recipe;
  const std::byte* data() const { return recipe_ == nullptr ? data_.get() : made(); }
  const std::byte* made() const;

  DType dtype_ = DType::kUndefined;
  Dims dims_;
  std::shared_ptr<const std::byte> data_;  // null for a deferred tensor without elements at hand
  std::shared_ptr<Recipe> recipe_;         // of a tensor whose elements are not in memory; shared by copies
};

}  // namespace amct
