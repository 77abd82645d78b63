// Numpy-style broadcasting: how to walk operands that repeat along some axes of one dense output.
//
// Axes of extent 1 vanish and neighbouring axes that every operand walks alike are joined, so that almost any case
// comes down to a plane of rows and columns; the planes are enumerated by the axes outside it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ir/dispatch.h"
#include "ir/half.h"
#include "ir/shape.h"

namespace amct {

constexpr size_t kMaxBroadcastOperands = 3;
constexpr size_t kMaxBroadcastRuns = 8;

struct BroadcastPlan {
  size_t runs = 2;  // joined axes, at least 2; the last two are rows and columns
  std::array<int64_t, kMaxBroadcastRuns> extents{};
  std::array<std::array<int64_t, kMaxBroadcastRuns>, kMaxBroadcastOperands> strides{};  // 0 where an operand repeats

  int64_t rows() const { return extents[runs - 2]; }
  int64_t cols() const { return extents[runs - 1]; }
  int64_t row_stride(size_t operand) const { return strides[operand][runs - 2]; }
  // 0 or 1, since operands are dense.
  int64_t col_stride(size_t operand) const { return strides[operand][runs - 1]; }
};

// `operands` are dense and row-major, and broadcast to `output`. Throws Error(kUnsupported) on more than
// kMaxBroadcastRuns axes that cannot be joined.
BroadcastPlan plan_broadcast(const Dims& output, std::span<const Dims> operands);

using BroadcastOffsets = std::array<int64_t, kMaxBroadcastOperands>;

// Calls `f(output offset, operand offsets)` for every plane, in order of the output. Nothing is called if it is empty.
template <typename F>
void for_each_plane(const BroadcastPlan& plan, F&& f) {
  int64_t planes = 1;
  for (size_t i = 0; i + 2 < plan.runs; ++i) planes *= plan.extents[i];
  const int64_t plane = plan.rows() * plan.cols();
  if (plane == 0) return;
  std::array<int64_t, kMaxBroadcastRuns> index{};
  BroadcastOffsets offsets{};
  for (int64_t p = 0; p < planes; ++p) {
    f(p * plane, offsets);
    for (size_t axis = plan.runs - 2; axis-- > 0;) {
      const bool wraps = ++index[axis] == plan.extents[axis];
      const int64_t steps = wraps ? 1 - plan.extents[axis] : 1;
      for (size_t k = 0; k < kMaxBroadcastOperands; ++k) offsets[k] += steps * plan.strides[k][axis];
      if (!wraps) break;
      index[axis] = 0;
    }
  }
}

// out[i] = f(a[i], b[i]) in the types that elements are computed in.
template <typename A, typename B, typename Out, typename F>
void broadcast_binary(const BroadcastPlan& plan, const A* a, const B* b, Out* out, F f) {
  const int64_t a_step = plan.col_stride(0);
  const int64_t b_step = plan.col_stride(1);
  for_each_plane(plan, [&](int64_t at, const BroadcastOffsets& offsets) {
    Out* to = out + at;
    for (int64_t row = 0; row < plan.rows(); ++row, to += plan.cols()) {
      const A* pa = a + offsets[0] + row * plan.row_stride(0);
      const B* pb = b + offsets[1] + row * plan.row_stride(1);
      for (int64_t i = 0; i < plan.cols(); ++i) {
        to[i] = static_cast<Out>(f(static_cast<Compute<A>>(pa[i * a_step]), static_cast<Compute<B>>(pb[i * b_step])));
      }
    }
  });
}

// out[i] = condition[i] ? a[i] : b[i]; operands 0, 1 and 2 of the plan.
template <typename T>
void broadcast_select(const BroadcastPlan& plan, const bool* condition, const T* a, const T* b, T* out) {
  for_each_plane(plan, [&](int64_t at, const BroadcastOffsets& offsets) {
    T* to = out + at;
    for (int64_t row = 0; row < plan.rows(); ++row, to += plan.cols()) {
      const bool* pc = condition + offsets[0] + row * plan.row_stride(0);
      const T* pa = a + offsets[1] + row * plan.row_stride(1);
      const T* pb = b + offsets[2] + row * plan.row_stride(2);
      for (int64_t i = 0; i < plan.cols(); ++i) {
        to[i] = pc[i * plan.col_stride(0)] ? pa[i * plan.col_stride(1)] : pb[i * plan.col_stride(2)];
      }
    }
  });
}

}  // namespace amct
