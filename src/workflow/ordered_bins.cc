#include "workflow/ordered_bins.h"

#include <algorithm>
#include <cmath>

#include "ir/dispatch.h"

namespace amct {
namespace {

constexpr int kMostBins = 8192;
constexpr uint64_t kMostCount = uint64_t{1} << 48;

std::vector<float> as_floats(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.size()));
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    const T* elements = view.as<T>();
    std::transform(elements, elements + values.size(), values.begin(), [](T x) { return static_cast<float>(x); });
  });
  return values;
}

}  // namespace

const EqualBins* TensorBins::find(int number) const {
  const auto at = std::find(bins.begin(), bins.end(), number);
  return at == bins.end() ? nullptr : &histograms[static_cast<size_t>(at - bins.begin())];
}

void TensorBins::add(std::span<const float> batch) {
  if (!std::all_of(batch.begin(), batch.end(), [](float x) { return std::isfinite(x); })) return;
  for (size_t i = 0; i < bins.size(); ++i) histograms[i].add(batch, bins[i]);
}

void TensorBins::write(ByteWriter& out) const {
  out.number(bins.size());
  for (size_t i = 0; i < bins.size(); ++i) {
    const EqualBins& histogram = histograms[i];
    out.number(static_cast<uint64_t>(bins[i]));
    out.real(histogram.low);
    out.real(histogram.high);
    out.number(histogram.counts.size());
    for (const int64_t count : histogram.counts) out.number(static_cast<uint64_t>(count));
  }
}

TensorBins TensorBins::read(ByteReader& in) {
  TensorBins result;
  const size_t kinds = in.length(18);
  for (size_t i = 0; i < kinds; ++i) {
    result.bins.push_back(static_cast<int>(in.number(kMostBins)));
    EqualBins& histogram = result.histograms.emplace_back();
    histogram.low = in.real64();
    histogram.high = in.real64();
    histogram.counts.resize(in.length(1));
    for (int64_t& count : histogram.counts) count = static_cast<int64_t>(in.number(kMostCount));
    const bool is_whole = histogram.counts.empty() || static_cast<int>(histogram.counts.size()) == result.bins[i];
    const bool is_range = std::isfinite(histogram.low) && std::isfinite(histogram.high) &&
                          std::abs(histogram.low) < 1e39 && std::abs(histogram.high) < 1e39 &&
                          histogram.low <= histogram.high;
    if (!is_whole || !is_range || result.bins[i] == 0) ByteReader::fail();
  }
  return result;
}

OrderedBins::OrderedBins(std::vector<TensorBins> tensors, int64_t batch, int64_t rows)
    : runs_of_a_batch_(static_cast<size_t>(std::max<int64_t>((batch + rows - 1) / rows, 1))),
      tensors_(std::move(tensors)),
      pending_(tensors_.size()) {
  for (TensorBins& tensor : tensors_) tensor.histograms.resize(tensor.bins.size());
}

void OrderedBins::add(size_t tensor, size_t run, const TensorView& view) {
  Pending& pending = pending_[tensor];
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return fault_ || pending.runs == run; });
    if (fault_) std::rethrow_exception(fault_);
  }
  take(tensor, view);  // nobody else has the turn
  const std::lock_guard lock(mutex_);
  ++pending.runs;
  changed_.notify_all();
}

void OrderedBins::take(size_t tensor, const TensorView& view) {
  std::vector<float> converted;
  if (view.dtype != DType::kFloat32) converted = as_floats(view);
  const std::span<const float> values = converted.empty()
                                            ? std::span(view.as<float>(), static_cast<size_t>(view.size()))
                                            : std::span<const float>(converted);
  std::vector<float>& batch = pending_[tensor].values;
  const bool is_last = (pending_[tensor].runs + 1) % runs_of_a_batch_ == 0;
  if (batch.empty() && is_last) return tensors_[tensor].add(values);
  batch.insert(batch.end(), values.begin(), values.end());
  if (!is_last) return;
  tensors_[tensor].add(batch);
  batch.clear();
}

void OrderedBins::stop(std::exception_ptr fault) {
  const std::lock_guard lock(mutex_);
  if (!fault_) fault_ = std::move(fault);
  changed_.notify_all();
}

const std::vector<TensorBins>& OrderedBins::finish() {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (pending_[i].values.empty()) continue;
    tensors_[i].add(pending_[i].values);
    pending_[i].values.clear();
  }
  return tensors_;
}

}  // namespace amct
