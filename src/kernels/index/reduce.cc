#include "kernels/index/reduce.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ir/dispatch.h"
#include "kernels/simd/reduce.h"

namespace amct {
namespace {

constexpr int64_t kFloatRun = 4096;  // floats added in float before the sum goes on in double

// Neighbouring axes of one kind merged; axes of extent 1 left out.
struct Group {
  int64_t extent;
  bool reduced;
};

struct Plan {
  std::vector<Group> outer;  // all but the innermost two of the pattern below
  int64_t rows = 1;          // reduced rows in front of an innermost kept group, else 1
  int64_t width = 1;         // innermost group
  bool width_reduced = false;
  int64_t outputs = 1;
  int64_t count = 1;  // elements that go into one output
};

Plan plan_of(const Dims& dims, const std::vector<bool>& reduced) {
  Plan plan;
  std::vector<Group> groups;
  for (size_t i = 0; i < dims.size(); ++i) {
    (reduced[i] ? plan.count : plan.outputs) *= dims[i];
    if (dims[i] == 1) continue;
    if (!groups.empty() && groups.back().reduced == reduced[i]) {
      groups.back().extent *= dims[i];
    } else {
      groups.push_back({dims[i], reduced[i]});
    }
  }
  if (!groups.empty()) {
    plan.width = groups.back().extent;
    plan.width_reduced = groups.back().reduced;
    groups.pop_back();
  }
  if (!plan.width_reduced && !groups.empty()) {  // groups alternate: this one is reduced
    plan.rows = groups.back().extent;
    groups.pop_back();
  }
  plan.outer = std::move(groups);
  return plan;
}

// Calls f(block, output) for each innermost block of rows x width elements at `block`, whose results start at `output`.
template <typename T, typename F>
void for_each_block(const Plan& plan, const T* data, F&& f) {
  if (plan.outputs == 0 || plan.count == 0) return;
  std::vector<int64_t> strides(plan.outer.size(), 0), index(plan.outer.size(), 0);
  int64_t stride = plan.width_reduced ? 1 : plan.width;
  for (size_t i = plan.outer.size(); i-- > 0;) {
    if (plan.outer[i].reduced) continue;
    strides[i] = stride;
    stride *= plan.outer[i].extent;
  }
  const int64_t block = plan.rows * plan.width;
  int64_t output = 0;
  while (true) {
    f(data, output);
    data += block;
    size_t axis = plan.outer.size();
    while (axis > 0) {
      --axis;
      output += strides[axis];
      if (++index[axis] < plan.outer[axis].extent) break;
      output -= strides[axis] * plan.outer[axis].extent;
      index[axis] = 0;
      if (axis == 0) return;
    }
    if (plan.outer.empty()) return;
  }
}

// sums[o] = fold(sums[o], element, o) over all elements.
template <typename T, typename Acc, typename Fold>
void fold_all(const Plan& plan, const T* data, std::vector<Acc>& sums, Fold&& fold) {
  for_each_block(plan, data, [&](const T* block, int64_t output) {
    const auto first = static_cast<size_t>(output);
    const auto width = static_cast<size_t>(plan.width);
    if (plan.width_reduced) {
      Acc sum = sums[first];
      for (size_t i = 0; i < width; ++i) sum = fold(sum, block[i], first);
      sums[first] = sum;
      return;
    }
    for (int64_t row = 0; row < plan.rows; ++row, block += width) {
      for (size_t i = 0; i < width; ++i) sums[first + i] = fold(sums[first + i], block[i], first + i);
    }
  });
}

void sum_floats(const Plan& plan, const float* data, std::vector<double>& sums) {
  std::vector<float> partial(plan.width_reduced ? 0 : static_cast<size_t>(plan.width));
  for_each_block(plan, data, [&](const float* block, int64_t output) {
    const auto first = static_cast<size_t>(output);
    if (plan.width_reduced) {
      for (int64_t i = 0; i < plan.width; i += kFloatRun) {
        sums[first] += sum_row(block + i, static_cast<size_t>(std::min(kFloatRun, plan.width - i)));
      }
      return;
    }
    constexpr int64_t kRows = kFloatRun / 16;  // one partial sum a column here
    for (int64_t row = 0; row < plan.rows; row += kRows) {
      sum_rows(block + row * plan.width, static_cast<size_t>(std::min(kRows, plan.rows - row)), partial.size(),
               partial.data());
      for (size_t i = 0; i < partial.size(); ++i) sums[first + i] += partial[i];
    }
  });
}

// Integers are summed modulo 2^64: overflow wraps as it does in the type itself.
template <typename T>
using Wide = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;

template <typename T>
Wide<T> widen(T value) {
  if constexpr (std::is_signed_v<T> && std::is_integral_v<T>)
    return static_cast<uint64_t>(int64_t{value});
  else
    return static_cast<Wide<T>>(static_cast<Compute<T>>(value));
}

template <typename T>
double to_real(T value) {
  return static_cast<double>(static_cast<Compute<T>>(value));
}

template <typename T>
T from_real(double value) {
  if constexpr (std::is_integral_v<T>) {
    if (!(value > static_cast<double>(std::numeric_limits<T>::lowest()))) return std::numeric_limits<T>::lowest();
    if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  }
  return static_cast<T>(static_cast<Compute<T>>(value));
}

template <typename T>
T mean_of(Wide<T> sum, int64_t count) {
  if constexpr (std::is_integral_v<T>) {
    if (count == 0) return T{};
    if constexpr (std::is_signed_v<T>)
      return static_cast<T>(static_cast<int64_t>(sum) / count);
    else
      return static_cast<T>(sum / static_cast<uint64_t>(count));
  } else {
    return from_real<T>(sum / static_cast<double>(count));
  }
}

template <typename T>
Wide<T> magnitude(T value) {
  if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_signed_v<T>)
      return value < 0 ? uint64_t{0} - widen(value) : widen(value);
    else
      return widen(value);
  } else {
    return std::abs(to_real(value));
  }
}

template <typename T, typename Fold, typename Finish, typename Acc>
void reduce_with(const Plan& plan, const T* data, T* output, Acc initial, Fold&& fold, Finish&& finish) {
  std::vector<Acc> sums(static_cast<size_t>(plan.outputs), initial);
  fold_all(plan, data, sums, fold);
  for (size_t i = 0; i < sums.size(); ++i) output[i] = finish(sums[i]);
}

template <typename T, bool kLargest>
void reduce_extreme(const Plan& plan, const T* data, T* output) {
  using C = Compute<T>;
  using Limits = std::numeric_limits<C>;
  const C low = Limits::has_infinity ? static_cast<C>(-Limits::infinity()) : Limits::lowest();
  const C high = Limits::has_infinity ? Limits::infinity() : Limits::max();
  const auto better = [](C best, C value) {
    return (kLargest ? best < value : value < best) || value != value ? value : best;
  };
  std::vector<C> results(static_cast<size_t>(plan.outputs), kLargest ? low : high);
  for_each_block(plan, data, [&](const T* block, int64_t first) {
    C* result = results.data() + first;
    const int64_t width = plan.width;
    if (!plan.width_reduced) {
      for (int64_t row = 0; row < plan.rows; ++row, block += width) {
        for (int64_t i = 0; i < width; ++i) result[i] = better(result[i], static_cast<C>(block[i]));
      }
      return;
    }
    // Several candidates side by side: the comparison of one would wait for that of the other.
    std::array<C, 16> lanes;
    lanes.fill(*result);
    const int64_t whole = width / 16 * 16;
    for (int64_t i = 0; i < whole; i += 16) {
      for (int64_t lane = 0; lane < 16; ++lane) {
        C& best = lanes[static_cast<size_t>(lane)];
        best = better(best, static_cast<C>(block[i + lane]));
      }
    }
    for (const C lane : lanes) *result = better(*result, lane);
    for (int64_t i = whole; i < width; ++i) *result = better(*result, static_cast<C>(block[i]));
  });
  for (size_t i = 0; i < results.size(); ++i) output[i] = static_cast<T>(results[i]);
}

template <typename T>
void reduce_sum(ReduceOp op, const Plan& plan, const T* data, T* output) {
  std::vector<Wide<T>> sums(static_cast<size_t>(plan.outputs), 0);
  if constexpr (std::is_same_v<T, float>) {
    sum_floats(plan, data, sums);
  } else {
    fold_all(plan, data, sums, [](Wide<T> sum, T value, size_t) { return sum + widen(value); });
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    output[i] =
        op == ReduceOp::kMean ? mean_of<T>(sums[i], plan.count) : static_cast<T>(static_cast<Compute<T>>(sums[i]));
  }
}

template <typename T>
void reduce_log_sum_exp(const Plan& plan, const T* data, T* output) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  std::vector<double> peaks(static_cast<size_t>(plan.outputs), kNone);
  fold_all(plan, data, peaks, [](double peak, T value, size_t) { return std::max(peak, to_real(value)); });
  for (double& peak : peaks) peak = std::isfinite(peak) ? peak : 0;
  std::vector<double> sums(peaks.size(), 0);
  fold_all(plan, data, sums,
           [&](double sum, T value, size_t at) { return sum + std::exp(to_real(value) - peaks[at]); });
  for (size_t i = 0; i < sums.size(); ++i) output[i] = from_real<T>(std::log(sums[i]) + peaks[i]);
}

template <typename T>
void reduce_typed(ReduceOp op, const Plan& plan, const T* data, T* output) {
  using W = Wide<T>;
  const auto narrow = [](W sum) { return static_cast<T>(static_cast<Compute<T>>(sum)); };
  const auto square = [](double sum, T value, size_t) { return sum + to_real(value) * to_real(value); };
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kMean: return reduce_sum(op, plan, data, output);
    case ReduceOp::kMax: return reduce_extreme<T, true>(plan, data, output);
    case ReduceOp::kMin: return reduce_extreme<T, false>(plan, data, output);
    case ReduceOp::kProd:
      return reduce_with(
          plan, data, output, W{1}, [](W sum, T v, size_t) { return sum * widen(v); }, narrow);
    case ReduceOp::kL1:
      return reduce_with(
          plan, data, output, W{0}, [](W sum, T v, size_t) { return sum + magnitude(v); }, narrow);
    case ReduceOp::kSumSquare:
      return reduce_with(
          plan, data, output, W{0}, [](W sum, T v, size_t) { return sum + widen(v) * widen(v); }, narrow);
    case ReduceOp::kL2:
      return reduce_with(plan, data, output, 0.0, square, [](double sum) { return from_real<T>(std::sqrt(sum)); });
    case ReduceOp::kLogSum:
      return reduce_with(
          plan, data, output, 0.0, [](double sum, T v, size_t) { return sum + to_real(v); },
          [](double sum) { return from_real<T>(std::log(sum)); });
    case ReduceOp::kLogSumExp: return reduce_log_sum_exp(plan, data, output);
  }
}

}  // namespace

void reduce(ReduceOp op, const TensorView& input, const std::vector<bool>& reduced, void* output) {
  const Plan plan = plan_of(input.dims, reduced);
  visit_numeric(input.dtype, [&]<typename T>(Tag<T>) {
    if constexpr (std::is_same_v<T, bool>) {
      // Truth values: any is the maximum, all the minimum; stored as bytes 0 and 1.
      reduce_typed<uint8_t>(op, plan, static_cast<const uint8_t*>(input.data), static_cast<uint8_t*>(output));
    } else {
      reduce_typed<T>(op, plan, static_cast<const T*>(input.data), static_cast<T*>(output));
    }
  });
}

}  // namespace amct
