#include "ir/tensor.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "base/block.h"
#include "base/checked_math.h"
#include "base/memory_limit.h"
#include "ir/cast_element.h"
#include "ir/dispatch.h"
#include "ir/small_float.h"

namespace amct {
namespace {

// Addresses of elements are multiples of it.
size_t alignment_of(DType dtype) {
  if (dtype == DType::kComplex64 || dtype == DType::kComplex128) return element_bytes(dtype) / 2;
  return std::max<size_t>(element_bytes(dtype), 1);
}

size_t bytes_of(DType dtype, const Dims& dims) {
  const auto count = checked_product(dims);
  const auto bytes = count ? checked_mul(*count, static_cast<int64_t>(element_bytes(dtype))) : std::nullopt;
  if (!bytes) {
    throw Error(ErrorCode::kInput, fmt::format("a tensor of extents {} is beyond any memory", to_string(dims)));
  }
  return static_cast<size_t>(*bytes);
}

// 8- and 4-bit floats as float32.
Tensor widened(const Tensor& small) {
  Tensor result = Tensor::allocate(DType::kFloat32, small.dims());
  const auto& table = small_float_values(small.dtype());
  const auto from = small.values<uint8_t>();
  std::transform(from.begin(), from.end(), result.mutable_values<float>().begin(),
                 [&](uint8_t code) { return table[code]; });
  return result;
}

Tensor narrowed(const Tensor& floats, DType dtype) {
  Tensor result = Tensor::allocate(dtype, floats.dims());
  const auto from = floats.values<float>();
  std::transform(from.begin(), from.end(), result.mutable_values<uint8_t>().begin(),
                 [&](float value) { return small_float_code(dtype, value); });
  return result;
}

}  // namespace

// What a tensor needs to have its elements in memory.
struct Tensor::Recipe {
  std::function<Tensor()> make;
  std::mutex mutex;
  std::weak_ptr<const std::byte> passing;          // while somebody holds it
  std::shared_ptr<const std::byte> lasting;        // once `values` or `view` was asked for
  std::atomic<const std::byte*> address{nullptr};  // of `lasting`

  // Under the mutex.
  std::shared_ptr<const std::byte> get() {
    if (lasting != nullptr) return lasting;
    auto held = passing.lock();
    if (held == nullptr) {
      held = make().data_;
      passing = held;
    }
    return held;
  }
};

Tensor::Tensor(const Tensor&) = default;
Tensor::Tensor(Tensor&&) noexcept = default;
Tensor& Tensor::operator=(const Tensor&) = default;
Tensor& Tensor::operator=(Tensor&&) noexcept = default;
Tensor::~Tensor() = default;

Tensor::Tensor(DType dtype, Dims dims, std::shared_ptr<const std::byte> data)
    : dtype_(dtype), dims_(std::move(dims)), data_(std::move(data)) {
  if (dtype_ == DType::kUndefined || reinterpret_cast<uintptr_t>(data_.get()) % alignment_of(dtype_) == 0) return;
  recipe_ = std::make_shared<Recipe>();
  recipe_->make = [misplaced = data_, dtype, dims = dims_] {
    return copy_of(dtype, dims, {misplaced.get(), static_cast<size_t>(element_count(dims)) * element_bytes(dtype)});
  };
}

Tensor Tensor::deferred(DType dtype, Dims dims, std::function<Tensor()> make) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.dims_ = std::move(dims);
  tensor.recipe_ = std::make_shared<Recipe>();
  tensor.recipe_->make = [make = std::move(make), dtype, bytes = tensor.byte_size()] {
    Tensor result = make();
    AMCT_CHECK(result.dtype() == dtype && result.byte_size() == bytes, "a deferred tensor became another one");
    return result.resident();
  };
  return tensor;
}

bool Tensor::is_resident() const { return recipe_ == nullptr || recipe_->address.load() != nullptr; }
bool Tensor::is_deferred() const { return data_ == nullptr && recipe_ != nullptr && !is_resident(); }

const void* Tensor::identity() const {
  return recipe_ != nullptr ? static_cast<const void*>(recipe_.get()) : data_.get();
}

Tensor Tensor::resident() const {
  if (recipe_ == nullptr) return *this;
  const std::lock_guard lock(recipe_->mutex);
  return Tensor(dtype_, dims_, recipe_->get());
}

const std::byte* Tensor::made() const {
  if (const std::byte* address = recipe_->address.load()) return address;
  const std::lock_guard lock(recipe_->mutex);
  if (recipe_->lasting == nullptr) {
    recipe_->lasting = recipe_->get();
    recipe_->address.store(recipe_->lasting.get());
  }
  return recipe_->lasting.get();
}

Tensor Tensor::allocate(DType dtype, Dims dims) {
  const size_t bytes = bytes_of(dtype, dims);
  if (memory_limit() != 0) require_memory({.shared = bytes}, fmt::format("a tensor of extents {}", to_string(dims)));
  Block block = allocate_block(bytes);
  if (block == nullptr) {
    throw Error(ErrorCode::kResource,
                fmt::format("not enough memory for a tensor of extents {} ({} bytes)", to_string(dims), bytes));
  }
  return Tensor(dtype, std::move(dims), std::shared_ptr<const std::byte>(std::move(block)));
}

Tensor Tensor::copy_of(DType dtype, Dims dims, std::span<const std::byte> bytes) {
  Tensor tensor = allocate(dtype, std::move(dims));
  AMCT_CHECK(tensor.byte_size() == bytes.size(), "tensor filled with a wrong number of bytes");
  if (!bytes.empty()) std::memcpy(tensor.mutable_data(), bytes.data(), bytes.size());
  return tensor;
}

Tensor Tensor::copy_of(const TensorView& view) {
  return copy_of(view.dtype, view.dims, {static_cast<const std::byte*>(view.data), view.bytes()});
}

std::span<const std::byte> Tensor::bytes() const {
  return {data_ != nullptr || recipe_ == nullptr ? data_.get() : made(), byte_size()};
}

std::byte* Tensor::mutable_data() {
  AMCT_CHECK(data_.use_count() == 1 && recipe_ == nullptr, "a shared tensor must not change");
  return const_cast<std::byte*>(data_.get());
}

Tensor Tensor::reshaped(Dims dims) const {
  AMCT_CHECK(element_count(dims) == size(), "reshape changes the number of elements");
  Tensor result = *this;
  result.dims_ = std::move(dims);
  return result;
}

std::vector<double> Tensor::to_doubles() const {
  if (is_small_float(dtype_)) return widened(*this).to_doubles();
  return visit_numeric(dtype_, [&]<typename T>(Tag<T>) {
    std::vector<double> result;
    result.reserve(static_cast<size_t>(size()));
    for (const T& value : values<T>()) result.push_back(static_cast<double>(static_cast<Compute<T>>(value)));
    return result;
  });
}

std::vector<int64_t> Tensor::to_int64s() const {
  if (is_small_float(dtype_)) return widened(*this).to_int64s();
  return visit_numeric(dtype_, [&]<typename T>(Tag<T>) {
    std::vector<int64_t> result;
    result.reserve(static_cast<size_t>(size()));
    for (const T& value : values<T>()) result.push_back(cast_element<int64_t>(value));
    return result;
  });
}

Tensor Tensor::cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  if (is_small_float(dtype_)) return widened(*this).cast(dtype);
  if (is_small_float(dtype)) return narrowed(cast(DType::kFloat32), dtype);
  Tensor result = allocate(dtype, dims_);
  visit_numeric(dtype_, [&]<typename From>(Tag<From>) {
    visit_numeric(dtype, [&]<typename To>(Tag<To>) {
      const auto from = values<From>();
      const auto to = result.mutable_values<To>();
      for (size_t i = 0; i < from.size(); ++i) to[i] = cast_element<To>(from[i]);
    });
  });
  return result;
}

bool Tensor::same_bytes(const Tensor& other) const {
  if (dtype_ != other.dtype_ || dims_ != other.dims_) return false;
  const auto a = bytes();
  const auto b = other.bytes();
  return a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace amct
