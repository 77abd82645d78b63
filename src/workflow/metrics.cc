#include "workflow/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ir/dispatch.h"

namespace amct {
namespace {

std::vector<float> without_mean(std::span<const float> values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  const auto mean = static_cast<float>(sum / static_cast<double>(std::max<size_t>(values.size(), 1)));
  std::vector<float> result(values.begin(), values.end());
  for (float& value : result) value -= mean;
  return result;
}

// The first of equal ones.
size_t top_class(std::span<const float> scores) {
  return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

}  // namespace

void Agreement::add(size_t sample, std::span<const float> original, std::span<const float> compressed) {
  constexpr size_t kLanes = 8;  // independent sums, which the compiler turns into vectors
  double signal[kLanes] = {}, noise[kLanes] = {}, cross[kLanes] = {}, energy[kLanes] = {}, largest[kLanes] = {};
  const auto accumulate = [&](size_t lane, size_t i) {
    const double z = original[i];
    const double q = compressed[i];
    signal[lane] += z * z;
    noise[lane] += (z - q) * (z - q);
    cross[lane] += z * q;
    energy[lane] += q * q;
    largest[lane] = std::max(largest[lane], std::abs(z - q));
  };
  size_t i = 0;
  for (; i + kLanes <= original.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) accumulate(lane, i + lane);
  }
  for (; i < original.size(); ++i) accumulate(0, i);
  Sums sums;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    sums.signal += signal[lane];
    sums.noise += noise[lane];
    sums.cross += cross[lane];
    sums.compressed += energy[lane];
    sums.largest = std::max(sums.largest, largest[lane]);
  }
  sums_[sample] = sums;
}

void Agreement::add_logits(size_t sample, std::span<const float> original, std::span<const float> compressed) {
  add(sample, without_mean(original), without_mean(compressed));
  sums_[sample].same_class = top_class(original) == top_class(compressed);
}

Agreement::Sums Agreement::total() const {
  Sums total;
  for (const Sums& sums : sums_) {
    total.signal += sums.signal;
    total.noise += sums.noise;
    total.cross += sums.cross;
    total.compressed += sums.compressed;
    total.largest = std::max(total.largest, sums.largest);
  }
  return total;
}

double Agreement::sqnr_db() const {
  const Sums sums = total();
  if (sums.noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(sums.signal / sums.noise);
}

double Agreement::cosine() const {
  const Sums sums = total();
  const double norm = std::sqrt(sums.signal * sums.compressed);
  return norm > 0 ? sums.cross / norm : (sums.noise == 0 ? 1.0 : 0.0);
}

double Agreement::same_class_percent() const {
  const auto same = std::count_if(sums_.begin(), sums_.end(), [](const Sums& sums) { return sums.same_class; });
  return sums_.empty() ? 0 : 100.0 * static_cast<double>(same) / static_cast<double>(sums_.size());
}

double Agreement::largest_difference() const { return total().largest; }

std::span<const float> row_of(const TensorView& view, size_t row, size_t rows, std::vector<float>& storage) {
  const bool batched = !view.dims.empty() && view.dims[0] == static_cast<int64_t>(rows);
  const auto count = static_cast<size_t>(view.size()) / (batched ? rows : 1);
  const size_t begin = batched ? row * count : 0;
  if (view.dtype == DType::kFloat32) return {view.as<float>() + begin, count};
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    storage.resize(count);
    const T* values = view.as<T>() + begin;
    for (size_t i = 0; i < count; ++i) storage[i] = static_cast<float>(static_cast<Compute<T>>(values[i]));
  });
  return storage;
}

}  // namespace amct
