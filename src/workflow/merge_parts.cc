// merge_parts of calibration_part.h.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "workflow/calibration_part.h"

namespace amct {
namespace {

// Which samples are there, by which file.
struct Claim {
  SampleRange range;
  std::string file;
};

std::string samples_text(SampleRange range) {
  return range.size() == 1 ? fmt::format("sample {}", range.begin)
                           : fmt::format("samples {} to {}", range.begin, range.end - 1);
}

class Merger {
 public:
  explicit Merger(const CalibrationIdentity& mine) : mine_(mine) {}

  void add(CalibrationPart part, const std::string& file) {
    if (part.kind == CalibrationPart::Kind::kCheckpoint) {
      return fault("it is the checkpoint of a calibration that is not finished", file,
                   "finish it with 'amct calibrate --resume' and give the part that this writes");
    }
    if (const std::string why = other_model(part.identity, mine_, mine_.model); !why.empty()) {
      return fault(why, file, "give 'amct calibrate' the model and the options of this command");
    }
    shards_.insert({part.shard.number, part.shard.count});
    claims_.push_back({part.taken, file});
    if (!merged_) {
      merged_ = std::move(part);
      first_ = file;
      merged_->instruction_sets = {merged_->identity.isa};
      return;
    }
    const std::string why = objection(part);
    if (!why.empty()) return fault(why, file, "give the parts of one calibration, and all of them");
    auto& sets = merged_->instruction_sets;
    if (std::find(sets.begin(), sets.end(), part.identity.isa) == sets.end()) sets.push_back(part.identity.isa);
    merge(part);
  }

  void fault(const std::string& what, const std::string& file, const std::string& hint) {
    faults_.add(Error(ErrorCode::kInput, what, {.file = file}, hint));
  }
  void fault(const Error& error) { faults_.add(error); }

  CalibrationPart finish() {
    faults_.throw_if_any();
    check_complete();
    faults_.throw_if_any();
    merged_->shard = {};
    merged_->taken = {0, merged_->identity.samples};
    std::sort(merged_->instruction_sets.begin(), merged_->instruction_sets.end());
    return std::move(*merged_);
  }

 private:
  std::string objection(const CalibrationPart& part) const {
    const std::string why = other_data(part.identity, merged_->identity, first_);
    if (!why.empty()) return why;
    if (part.stage != merged_->stage) {
      return fmt::format("it and {} are of different rounds of one calibration", first_);
    }
    if (part.choice != merged_->choice) {
      return fmt::format("another choice of strengths or layers was made for it than for {}", first_);
    }
    const auto same_names = [](const auto& a, const auto& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                        [](const auto& x, const auto& y) { return x.first == y.first; });
    };
    if (!same_names(part.maxima, merged_->maxima) || !same_names(part.tensors, merged_->tensors)) {
      return fmt::format("it holds other tensors than {}", first_);
    }
    for (const auto& [name, maximum] : part.maxima) {
      const auto &mine = maximum.values(), &theirs = merged_->maxima.at(name).values();
      const bool fits = part.stage == CalibrationPart::Stage::kPreliminary
                            ? mine.empty() || theirs.empty() || mine.size() == theirs.size()
                            : mine == theirs;
      if (!fits) return fmt::format("it was balanced by other maxima of '{}' than {}", name, first_);
    }
    for (const auto& [name, tensor] : part.tensors) {
      if (!tensor.statistics.merges_with(merged_->tensors.at(name).statistics)) {
        return fmt::format("it observed tensor '{}' in another way than {}", name, first_);
      }
    }
    return {};
  }

  void merge(const CalibrationPart& part) {
    if (part.stage == CalibrationPart::Stage::kPreliminary) {
      for (const auto& [name, maximum] : part.maxima) merged_->maxima.at(name).merge(maximum);
    }
    for (const auto& [name, tensor] : part.tensors) merged_->tensors.at(name).statistics.merge(tensor.statistics);
  }

  void check_complete() {
    std::stable_sort(claims_.begin(), claims_.end(),
                     [](const Claim& a, const Claim& b) { return a.range.begin < b.range.begin; });
    int64_t next = 0;
    std::string last;
    for (const Claim& claim : claims_) {
      if (claim.range.size() == 0) continue;
      if (claim.range.begin > next) missing({next, claim.range.begin});
      if (claim.range.begin < next) {
        const SampleRange both{claim.range.begin, std::min(next, claim.range.end)};
        fault(fmt::format("it holds {}, which {} holds too", samples_text(both), last), claim.file,
              "give every part once");
      }
      if (claim.range.end > next) last = claim.file;
      next = std::max(next, claim.range.end);
    }
    if (next < merged_->identity.samples) missing({next, merged_->identity.samples});
  }

  void missing(SampleRange range) {
    const int count = shards_.begin()->second;
    std::string which;
    const bool one_split =
        std::all_of(shards_.begin(), shards_.end(), [&](const auto& s) { return s.second == count; });
    for (int number = 1; one_split && number <= count && which.size() < 60; ++number) {
      const SampleRange share = Shard{number, count}.of(merged_->identity.samples, mine_.rows);
      const bool overlaps = share.begin < range.end && range.begin < share.end;
      if (overlaps && !shards_.contains({number, count})) {
        which += fmt::format("{}{}/{}", which.empty() ? ": --shard " : ", ", number, count);
      }
    }
    faults_.add(Error(ErrorCode::kInput,
                      fmt::format("{} of {} are in none of the parts", samples_text(range), merged_->identity.samples),
                      {}, fmt::format("calibrate what is missing{}", which)));
  }

  const CalibrationIdentity& mine_;
  std::optional<CalibrationPart> merged_;
  std::string first_;  // file of the part that the others are held against
  std::vector<Claim> claims_;
  std::set<std::pair<int, int>> shards_;
  Faults faults_;
};

CalibrationPart finish(Merger& merger) {
  CalibrationPart merged = merger.finish();
  if (merged.instruction_sets.size() > 1) {
    log_warning(
        fmt::format("the parts were computed with different instruction sets ({}): their last bits depend on "
                    "it; --isa pins one",
                    fmt::join(merged.instruction_sets, ", ")));
  }
  return merged;
}

}  // namespace

CalibrationPart merge_parts(const std::vector<std::filesystem::path>& paths, const CalibrationIdentity& mine) {
  if (paths.empty()) throw Error(ErrorCode::kConfig, "no parts of a calibration are given");
  Merger merger(mine);
  for (const auto& path : paths) {
    try {
      merger.add(read_part(path), path.string());
    } catch (const Error& error) {
      merger.fault(error);
    }
  }
  return finish(merger);
}

CalibrationPart merge_parts(const std::vector<std::filesystem::path>& paths, CalibrationPart own) {
  std::vector<CalibrationPart> parts;
  for (const auto& path : paths) parts.push_back(read_part(path));
  if (!parts.empty()) {
    const std::string isa = own.identity.isa;
    const int64_t rows = own.identity.rows;
    own.identity = parts.front().identity;
    own.identity.isa = isa;
    own.identity.rows = rows;
  }
  const CalibrationIdentity mine = own.identity;
  Merger merger(mine);
  merger.add(std::move(own), "this process");
  for (size_t i = 0; i < parts.size(); ++i) merger.add(std::move(parts[i]), paths[i].string());
  return finish(merger);
}

}  // namespace amct
