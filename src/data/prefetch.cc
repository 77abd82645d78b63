#include "data/prefetch.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "data/input_file.h"

namespace amct {

struct Prefetcher::Slot {
  enum class State { kFree, kFilling, kFull, kOut };
  State state = State::kFree;
  size_t batch = 0;
  size_t valid = 0;
  std::vector<Tensor> inputs;
  std::exception_ptr fault;
};

Prefetcher::Batch::Batch(Batch&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), slot_(std::exchange(other.slot_, nullptr)) {}
Prefetcher::Batch::~Batch() {
  if (owner_ != nullptr) owner_->release(slot_);
}
size_t Prefetcher::Batch::index() const { return slot_->batch; }
size_t Prefetcher::Batch::first() const { return owner_->options_.first + slot_->batch * owner_->options_.batch; }
size_t Prefetcher::Batch::valid() const { return slot_->valid; }
const std::vector<Tensor>& Prefetcher::Batch::inputs() const { return slot_->inputs; }

Prefetcher::Prefetcher(const DataSource& source, const std::vector<InputSpec>& inputs, const PrefetchOptions& options)
    : source_(source), inputs_(inputs), options_(options) {
  AMCT_CHECK(options.batch > 0, "a batch has at least one row");
  const size_t there = source.size() - std::min(options.first, source.size());
  count_ = std::min(options.count, there);
  batches_ = (count_ + options_.batch - 1) / options_.batch;
  const auto threads = static_cast<size_t>(std::max(1, options.threads));
  const size_t depth = std::max<size_t>(options.depth == 0 ? 2 * threads + 2 : options.depth, 1);
  for (size_t i = 0; i < std::min(depth, batches_); ++i) slots_.push_back(std::make_unique<Slot>());
  try {
    for (size_t i = 0; i < std::min(threads, slots_.size()); ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    if (threads_.empty()) throw Error(ErrorCode::kResource, fmt::format("cannot start a thread: {}", error.what()));
  }
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  freed_.notify_all();
  filled_.notify_all();
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    Slot* slot = nullptr;
    freed_.wait(lock, [&] {
      if (stop_ || claimed_ == batches_) return true;
      const auto free = std::ranges::find_if(slots_, [](const auto& s) { return s->state == Slot::State::kFree; });
      if (free != slots_.end()) slot = free->get();
      return slot != nullptr;
    });
    if (stop_ || slot == nullptr) return;
    slot->state = Slot::State::kFilling;
    slot->batch = claimed_++;
    lock.unlock();
    try {
      fill(*slot);
    } catch (...) {
      slot->fault = std::current_exception();
    }
    lock.lock();
    slot->state = Slot::State::kFull;
    filled_.notify_all();
  }
}

void Prefetcher::fill(Slot& slot) const {
  const size_t first = options_.first + slot.batch * options_.batch;
  slot.valid = std::min(options_.batch, options_.first + count_ - first);
  const size_t rows = options_.pad ? options_.batch : slot.valid;
  const auto dims = source_.sample_dims(first);
  if (slot.inputs.empty()) slot.inputs.resize(inputs_.size());
  std::vector<size_t> row_bytes;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Dims batch = dims[i];
    if (!inputs_[i].dims.empty()) batch.insert(batch.begin(), static_cast<int64_t>(rows));
    if (slot.inputs[i].dims() != batch || !slot.inputs[i]) slot.inputs[i] = Tensor::allocate(inputs_[i].dtype, batch);
    row_bytes.push_back(static_cast<size_t>(element_count(dims[i])) * element_bytes(inputs_[i].dtype));
  }
  const auto row_at = [&](size_t input, size_t row) {
    return slot.inputs[input].mutable_data() + row * row_bytes[input];
  };
  for (size_t row = 0; row < slot.valid; ++row) {
    if (row > 0 && source_.sample_dims(first + row) != dims) {
      throw data_error(fmt::format("samples of different size cannot share a batch of {}", options_.batch),
                       source_.sample_name(first + row),
                       "add crop=… or resize=HEIGHTxWIDTH to --preprocess, or use --batch 1");
    }
    std::vector<MutableView> views;
    for (size_t i = 0; i < inputs_.size(); ++i) views.push_back({inputs_[i].dtype, dims[i], row_at(i, row)});
    source_.read(first + row, views);
  }
  for (size_t row = slot.valid; row < rows; ++row) {
    for (size_t i = 0; i < inputs_.size(); ++i) std::memcpy(row_at(i, row), row_at(i, slot.valid - 1), row_bytes[i]);
  }
}

std::optional<Prefetcher::Batch> Prefetcher::next() {
  std::unique_lock lock(mutex_);
  Slot* slot = nullptr;
  if (stop_ || delivered_ == batches_) return std::nullopt;
  const size_t wanted = delivered_++;
  filled_.wait(lock, [&] {
    if (stop_) return true;
    const auto full = std::ranges::find_if(
        slots_, [&](const auto& s) { return s->state == Slot::State::kFull && s->batch == wanted; });
    if (full != slots_.end()) slot = full->get();
    return slot != nullptr;
  });
  if (slot == nullptr) return std::nullopt;
  if (slot->fault) {
    stop_ = true;
    freed_.notify_all();
    filled_.notify_all();
    std::rethrow_exception(slot->fault);
  }
  slot->state = Slot::State::kOut;
  return Batch(this, slot);
}

void Prefetcher::release(Slot* slot) {
  {
    const std::lock_guard lock(mutex_);
    slot->state = Slot::State::kFree;
  }
  freed_.notify_all();
}

}  // namespace amct
