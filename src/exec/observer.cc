#include "exec/observer.h"

#include <algorithm>
#include <numeric>

#include "ir/dispatch.h"

namespace amct {
namespace {

constexpr int64_t kPiece = 8192;    // values
constexpr int64_t kFewestRows = 8;  // that are counted of a sample

// Rows of a sample for one that is counted: odd, and without a common factor with the extent of the next axis.
int64_t stride_of(int64_t every, int64_t rows, int64_t next_extent) {
  int64_t stride = std::min(every, rows / kFewestRows) | 1;
  while (std::gcd(stride, next_extent) > 1) stride += 2;
  return stride;
}

}  // namespace

struct Observer::Rows {
  int64_t count, length, stride;

  // Of one sample.
  Rows(const Dims& dims, int64_t every) : count(1), length(dims.empty() ? 1 : dims.back()), stride(1) {
    for (size_t axis = 1; axis + 1 < dims.size(); ++axis) count *= dims[axis];
    if (every > 1 && count > 0) stride = stride_of(every, count, dims.size() > 2 ? dims[dims.size() - 2] : 1);
  }
};

Observer::Observer(size_t tail_capacity, int64_t every)
    : every_(every),
      histogram_(tail_capacity),
      sampled_(every > 1 ? std::make_unique<SampledHistogram>(tail_capacity) : nullptr) {}

int64_t Observer::every_for(uint64_t expected_count) {
  return static_cast<int64_t>(std::clamp<uint64_t>(expected_count / kEnoughValues, 1, kMostEvery));
}

void Observer::observe(const TensorView& view, ChannelSums* sums) {
  Rows rows(view.dims, every_);
  if (view.size() == 0) return;
  int64_t samples = view.dims.size() < 2 ? 1 : view.dims[0];
  if (sums == nullptr && rows.stride == 1) {  // nothing depends on where a sample ends
    rows.count *= samples;
    samples = 1;
  }
  if (rows.count * rows.length >= kPiece / 2) sampled_ ? sampled_->prefetch() : histogram_.prefetch();
  for (int64_t sample = 0; sample < samples; ++sample) {
    observe_sample(view, sample, rows, sums);
    if (sums != nullptr) sums->end_sample();
  }
}

void Observer::observe_sample(const TensorView& view, int64_t sample, const Rows& rows, ChannelSums* sums) {
  const int64_t rows_of_piece = std::max<int64_t>(1, kPiece / rows.length);
  for (int64_t row = 0; row < rows.count; row += rows_of_piece) {
    const auto begin = static_cast<size_t>((sample * rows.count + row) * rows.length);
    const auto count = static_cast<size_t>(std::min(rows_of_piece, rows.count - row) * rows.length);
    const std::span<const float> piece = floats(view, begin, count);
    if (!sampled_) {
      histogram_.add(piece);
      if (sums != nullptr) sums->add_rows(piece, rows.length);
      continue;
    }
    sampled_->add_all(piece);
    choose_rows(piece, row, rows);
    if (chosen_.size() >= static_cast<size_t>(kPiece)) count_chosen(rows, sums);
  }
  if (sampled_) count_chosen(rows, sums);
}

std::span<const float> Observer::floats(const TensorView& view, size_t begin, size_t count) {
  if (view.dtype == DType::kFloat32) return {view.as<float>() + begin, count};
  converted_.resize(count);
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    std::transform(view.as<T>() + begin, view.as<T>() + begin + count, converted_.begin(),
                   [](T element) { return static_cast<float>(element); });
  });
  return converted_;
}

// Of a piece that begins with row `first`.
void Observer::choose_rows(std::span<const float> piece, int64_t first, const Rows& rows) {
  const auto end = first + static_cast<int64_t>(piece.size()) / rows.length;
  for (int64_t row = (first + rows.stride - 1) / rows.stride * rows.stride; row < end; row += rows.stride) {
    const auto at = piece.begin() + (row - first) * rows.length;
    chosen_.insert(chosen_.end(), at, at + rows.length);
  }
}

void Observer::count_chosen(const Rows& rows, ChannelSums* sums) {
  sampled_->add_chosen(chosen_);
  if (sums != nullptr) sums->add_rows(chosen_, rows.length);
  chosen_.clear();
}

void Observer::merge(const Observer& other) {
  AMCT_CHECK(every_ == other.every_, "observers of different rules cannot merge");
  sampled_ ? sampled_->merge(*other.sampled_) : histogram_.merge(other.histogram_);
}

void Observer::write(ByteWriter& out) const {
  out.number(static_cast<uint64_t>(every_));
  sampled_ ? sampled_->write(out) : histogram_.write(out);
}

Observer Observer::read(ByteReader& in) {
  const auto every = static_cast<int64_t>(in.number(kMostEvery));
  if (every == 0) ByteReader::fail();
  if (every == 1) {
    Observer observer;
    observer.histogram_ = Histogram::read(in);
    return observer;
  }
  SampledHistogram sampled = SampledHistogram::read(in);
  Observer observer(sampled.tail_capacity(), every);
  *observer.sampled_ = std::move(sampled);
  return observer;
}

}  // namespace amct
