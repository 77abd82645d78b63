#include "kernels/index/gather.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/wrapping.h"
#include "ir/dispatch.h"
#include "kernels/index/element.h"
#include "kernels/index/strided.h"

namespace amct {
namespace {

int64_t checked_index(int64_t index, int64_t extent) {
  if (index < -extent || index >= extent) {
    throw Error(ErrorCode::kInput, fmt::format("index {} is out of range for an axis of {}", index, extent));
  }
  return index < 0 ? index + extent : index;
}

template <typename F>
void for_each_int(const TensorView& view, F&& f) {
  const int64_t count = view.size();
  if (view.dtype == DType::kInt32) {
    for (int64_t i = 0; i < count; ++i) f(i, int64_t{view.as<int32_t>()[i]});
  } else if (view.dtype == DType::kInt64) {
    for (int64_t i = 0; i < count; ++i) f(i, view.as<int64_t>()[i]);
  } else {
    throw Error(ErrorCode::kInput, fmt::format("indices must be int32 or int64, not {}", name_of(view.dtype)));
  }
}

// The coordinates' offset without the part of `axis`, for every row of the last axis; f(row's first flat index,
// offset).
template <typename F>
void for_each_row(const Dims& data_dims, const Dims& dims, size_t axis, F&& f) {
  const Dims strides = row_major_strides(data_dims);
  const int64_t count = element_count(dims);
  const int64_t row = dims.empty() ? 1 : dims.back();
  if (count == 0) return;
  for (int64_t flat = 0; flat < count; flat += row) {
    int64_t rest = flat / row;
    int64_t offset = 0;
    for (size_t i = dims.empty() ? 0 : dims.size() - 1; i-- > 0;) {
      if (i != axis) offset += rest % dims[i] * strides[i];
      rest /= dims[i];
    }
    f(flat, offset);
  }
}

template <typename T>
T combine(ScatterReduction reduction, T old, T update) {
  using C = Compute<T>;
  constexpr bool kWraps = std::is_integral_v<T> && !std::is_same_v<T, bool>;
  const C a = static_cast<C>(old), b = static_cast<C>(update);
  switch (reduction) {
    case ScatterReduction::kAdd:
      if constexpr (kWraps) return static_cast<T>(Wrapping<T>(old) + Wrapping<T>(update));
      return static_cast<T>(static_cast<C>(a + b));
    case ScatterReduction::kMul:
      if constexpr (kWraps) return static_cast<T>(Wrapping<T>(old) * Wrapping<T>(update));
      return static_cast<T>(static_cast<C>(a * b));
    case ScatterReduction::kMax: return a < b ? update : old;
    case ScatterReduction::kMin: return b < a ? update : old;
    case ScatterReduction::kNone: break;
  }
  return update;
}

}  // namespace

std::vector<int64_t> normalized_indices(const TensorView& view, int64_t extent) {
  std::vector<int64_t> indices(static_cast<size_t>(view.size()));
  for_each_int(view, [&](int64_t i, int64_t index) { indices[static_cast<size_t>(i)] = checked_index(index, extent); });
  return indices;
}

void gather_blocks(size_t element_bytes, int64_t outer, int64_t extent, int64_t inner,
                   const std::vector<int64_t>& indices, const void* source, void* target) {
  visit_element(element_bytes, [&]<typename T>(ElementTag<T>) {
    const T* in = static_cast<const T*>(source);
    T* out = static_cast<T*>(target);
    for (int64_t o = 0; o < outer; ++o, in += extent * inner) {
      if (inner == 1) {
        for (const int64_t index : indices) *out++ = in[index];
        continue;
      }
      for (const int64_t index : indices) out = std::copy_n(in + index * inner, inner, out);
    }
  });
}

void gather_elements(size_t element_bytes, const Dims& source_dims, const Dims& dims, size_t axis,
                     const std::vector<int64_t>& indices, const void* source, void* target) {
  const std::vector<int64_t> offsets = element_offsets(source_dims, dims, axis, indices);
  visit_element(element_bytes, [&]<typename T>(ElementTag<T>) {
    T* out = static_cast<T*>(target);
    for (const int64_t offset : offsets) *out++ = static_cast<const T*>(source)[offset];
  });
}

std::vector<int64_t> block_offsets(const TensorView& indices, const Dims& data_dims, size_t batch_dims) {
  const auto depth = static_cast<size_t>(indices.dims.back());
  const Dims strides = row_major_strides(data_dims);
  int64_t batches = 1;
  for (size_t i = 0; i < batch_dims; ++i) batches *= data_dims[i];
  const int64_t batch_stride = batch_dims == 0 ? 0 : strides[batch_dims - 1];
  int64_t count = 1;
  for (size_t i = 0; i + 1 < indices.dims.size(); ++i) count *= indices.dims[i];
  const int64_t per_batch = batches == 0 ? 0 : count / batches;
  std::vector<int64_t> offsets(static_cast<size_t>(count), 0);
  for (int64_t k = 0; k < count; ++k)
    offsets[static_cast<size_t>(k)] = k / std::max<int64_t>(per_batch, 1) * batch_stride;
  for_each_int(indices, [&](int64_t i, int64_t index) {
    const size_t axis = batch_dims + static_cast<size_t>(i) % depth;
    offsets[static_cast<size_t>(i) / depth] += checked_index(index, data_dims[axis]) * strides[axis];
  });
  return offsets;
}

void scatter_blocks(ScatterReduction reduction, DType dtype, const std::vector<int64_t>& offsets, int64_t block,
                    const void* updates, void* data) {
  if (reduction == ScatterReduction::kNone) {
    const size_t element = element_bytes(dtype);
    const size_t bytes = static_cast<size_t>(block) * element;
    const auto* in = static_cast<const std::byte*>(updates);
    auto* out = static_cast<std::byte*>(data);
    for (const int64_t offset : offsets) {
      if (bytes > 0) std::memcpy(out + static_cast<size_t>(offset) * element, in, bytes);
      in += bytes;
    }
    return;
  }
  visit_numeric(dtype, [&]<typename T>(Tag<T>) {
    const T* in = static_cast<const T*>(updates);
    for (const int64_t offset : offsets) {
      T* out = static_cast<T*>(data) + offset;
      for (int64_t i = 0; i < block; ++i, ++in) out[i] = combine(reduction, out[i], *in);
    }
  });
}

std::vector<int64_t> element_offsets(const Dims& data_dims, const Dims& dims, size_t axis,
                                     const std::vector<int64_t>& indices) {
  std::vector<int64_t> offsets(indices.size());
  const int64_t row = dims.empty() ? 1 : dims.back();
  const int64_t stride = data_dims.empty() ? 1 : row_major_strides(data_dims)[axis];
  const bool along_rows = axis + 1 == dims.size();
  for_each_row(data_dims, dims, axis, [&](int64_t flat, int64_t offset) {
    for (int64_t i = 0; i < row; ++i) {
      const auto at = static_cast<size_t>(flat + i);
      offsets[at] = offset + indices[at] * stride + (along_rows ? 0 : i);
    }
  });
  return offsets;
}

}  // namespace amct
