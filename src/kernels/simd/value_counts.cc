#include "kernels/simd/value_counts.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/value_counts.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Looks up to `count` values up at their first slot. Writes slot numbers (times four) of those found to `hits`, keys of
// the others to `misses`; returns the number of hits.
size_t LookUp(const float* values, size_t count, const uint32_t* keys, int slot_bits, uint32_t* hits,
              uint32_t* misses) {
  const hn::ScalableTag<float> df;
  const hn::ScalableTag<uint32_t> du;
  const hn::ScalableTag<int32_t> di;
  const size_t lanes = hn::Lanes(df);
  size_t hit = 0;
  HWY_ALIGN float last[hn::MaxLanes(df)] = {};  // the values beyond the last whole vector
  std::copy(values + count / lanes * lanes, values + count, last);
  for (size_t i = 0; i < count; i += lanes) {
    const size_t rest = HWY_MIN(lanes, count - i);
    const auto x = rest == lanes ? hn::LoadU(df, values + i) : hn::Load(df, last);
    const auto key = hn::BitCast(du, hn::Add(x, hn::Zero(df)));  // -0 + 0 is +0
    const auto slot = hn::ShiftRightSame(hn::Mul(key, hn::Set(du, 0x9e3779b1u)), 32 - slot_bits);
    const auto valid = hn::FirstN(du, rest);
    const auto known = hn::Eq(hn::GatherIndex(du, keys, hn::BitCast(di, slot)), key);
    const auto found = hn::And(known, valid);
    const auto missed = hn::AndNot(known, valid);
    hn::StoreU(hn::Compress(hn::ShiftLeft<2>(slot), found), du, hits + hit);
    hn::StoreU(hn::Compress(key, missed), du, misses + (i - hit));
    hit += hn::CountTrue(du, found);
  }
  return hit;
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(LookUp);

namespace {
constexpr size_t kChunk = 1024;
constexpr size_t kSlack = 64;  // lanes of the widest vector, that a compressed store may write beyond its count

// True only if there are more than kLimit distinct values: different ones may share a place and pass for one. Most
// tensors have many, and are told by this before they fill a table.
bool has_many(std::span<const float> values) {
  constexpr int kPlaceBits = 14;
  uint64_t places[(size_t{1} << kPlaceBits) / 64] = {};
  size_t taken = 0;
  while (taken + values.size() > ValueCounts::kLimit) {
    const auto chunk = values.first(std::min(kChunk, values.size()));
    for (const float value : chunk) {
      const uint32_t place = (std::bit_cast<uint32_t>(value + 0.0f) * 0x9e3779b1u) >> (32 - kPlaceBits);
      uint64_t& word = places[place / 64];
      const uint64_t bit = uint64_t{1} << (place % 64);
      taken += (word & bit) == 0 ? 1 : 0;
      word |= bit;
    }
    if (taken > ValueCounts::kLimit) return true;
    values = values.subspan(chunk.size());
  }
  return false;
}

}  // namespace

// At most a quarter of the slots is taken, unless the table is as large as it may become: it exceeds the limit by more
// than a chunk or another table adds, so that there is always a free slot.
void ValueCounts::make_room(size_t more) {
  int bits = std::max(slot_bits_, kLeastSlotBits);
  while (bits < kMostSlotBits && (size_t{1} << bits) < 4 * (distinct_ + more)) ++bits;
  if (bits == slot_bits_) return;
  if (distinct_ > 0) fold();
  const std::vector<uint32_t> keys = std::exchange(keys_, std::vector<uint32_t>(size_t{1} << bits, kEmpty));
  const std::vector<uint64_t> totals = std::exchange(totals_, {});
  slot_bits_ = bits;
  counters_.assign(slots() * kLanes, 0);
  if (distinct_ > 0) totals_.assign(slots(), 0);
  distinct_ = 0;
  for (size_t slot = 0; slot < keys.size(); ++slot) {
    if (keys[slot] != kEmpty) totals_[find_or_insert(keys[slot])] = totals[slot];
  }
}

size_t ValueCounts::add(std::span<const float> values) {
  size_t taken = 0;
  uint32_t hits[kChunk + kSlack];
  uint32_t misses[kChunk + kSlack];
  size_t missed = distinct_ == 0 ? kChunk : 0;  // of the chunk before: where most are known, looking ahead is in vain
  while (taken < values.size() && !overfull()) {
    if (missed > kChunk / 4 && has_many(values.subspan(taken))) {
      saw_many_ = true;
      break;
    }
    const size_t count = std::min(kChunk, values.size() - taken);
    make_room(count);
    if (pending_ + count > 0xffffffffu) fold();
    const size_t found =
        HWY_DYNAMIC_DISPATCH(LookUp)(values.data() + taken, count, keys_.data(), slot_bits_, hits, misses);
    uint32_t* __restrict counters = counters_.data();
    for (size_t i = 0; i < found; ++i) ++counters[hits[i] + (i & (kLanes - 1))];
    for (size_t i = 0; i < count - found; ++i) ++counters[find_or_insert(misses[i]) * kLanes];
    pending_ += count;
    taken += count;
    missed = count - found;
  }
  return taken;
}

void ValueCounts::add(float value, uint64_t count) {
  if (count == 0) return;
  make_room(1);
  if (totals_.empty()) totals_.assign(slots(), 0);
  totals_[find_or_insert(std::bit_cast<uint32_t>(value + 0.0f))] += count;
}

size_t ValueCounts::find_or_insert(uint32_t key) {
  size_t slot = slot_of(key);
  while (keys_[slot] != key) {
    if (keys_[slot] == kEmpty) {
      keys_[slot] = key;
      ++distinct_;
      break;
    }
    slot = (slot + 1) & (slots() - 1);
  }
  return slot;
}

void ValueCounts::fold() {
  if (totals_.empty()) totals_.assign(slots(), 0);
  for (size_t slot = 0; slot < slots(); ++slot) {
    const auto lanes = counters_.begin() + static_cast<ptrdiff_t>(slot * kLanes);
    totals_[slot] = std::accumulate(lanes, lanes + kLanes, totals_[slot]);
    std::fill_n(lanes, kLanes, 0u);
  }
  pending_ = 0;
}

void ValueCounts::for_each(const std::function<void(float, uint64_t)>& visit) const {
  for (size_t slot = 0; slot < keys_.size(); ++slot) {
    if (keys_[slot] == kEmpty) continue;
    uint64_t count = totals_.empty() ? 0 : totals_[slot];
    for (size_t lane = 0; lane < kLanes; ++lane) count += counters_[slot * kLanes + lane];
    visit(std::bit_cast<float>(keys_[slot]), count);
  }
}

}  // namespace amct
#endif
