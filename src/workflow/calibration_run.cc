#include "workflow/calibration_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "passes/quantize/hidden_states.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/balance.h"
#include "workflow/calibration_identity.h"
#include "workflow/memory_need.h"

namespace amct {
namespace {

namespace fs = std::filesystem;
using Stage = CalibrationPart::Stage;

bool is_there(const fs::path& path) {
  std::error_code error;
  return !path.empty() && fs::exists(path, error);
}

bool same_maxima(const CalibrationPart& a, const CalibrationPart& b) {
  return std::equal(
      a.maxima.begin(), a.maxima.end(), b.maxima.begin(), b.maxima.end(),
      [](const auto& x, const auto& y) { return x.first == y.first && x.second.values() == y.second.values(); });
}

}  // namespace

CalibrationRun::CalibrationRun(CalibrationSubject subject, CalibrationRunOptions options)
    : subject_(std::move(subject)), options_(std::move(options)) {
  if (subject_.source != nullptr) part_ = empty_part(*subject_.source, subject_.asked, options_.shard);
  part_.identity.rows = subject_.rows;
  if (!options_.parts.empty()) take_parts();
  if (is_complete_ || !is_there(options_.checkpoint)) return;
  if (options_.resume) {
    take_checkpoint();
  } else {
    log_info(fmt::format("{} is the checkpoint of a run that did not end; --resume goes on from it",
                         options_.checkpoint.string()));
  }
}

void CalibrationRun::identify() {
  if (is_identified_) return;
  CalibrationIdentity& identity = part_.identity;
  identity.model = subject_.model.filename().string();
  identity.model_hash = model_hash(subject_.model);
  identity.settings = subject_.settings;
  if (subject_.source != nullptr) {
    identify_data(*subject_.source, *subject_.inputs, *subject_.data_options, identity);
  }
  is_identified_ = true;
}

void CalibrationRun::take_parts() {
  identify();
  CalibrationPart merged = merge_parts(options_.parts, part_.identity);
  knows_maxima_ = true;
  if (merged.stage == Stage::kDistributions) {
    is_complete_ = true;
    part_ = std::move(merged);
    return;
  }
  const std::string file = options_.parts.front().string();
  if (subject_.source == nullptr) {
    const bool chosen = merged.choice.has_value();
    throw Error(ErrorCode::kInput,
                chosen ? "it holds only what was chosen for the shares"
                       : "the parts hold only what activation balance needs first",
                {.file = file},
                chosen ? "calibrate all shares: 'amct calibrate … --shard 1/8 --calibration' with this file"
                       : "calibrate the second round: 'amct calibrate … --calibration' with these parts");
  }
  const std::string why = other_data(merged.identity, part_.identity, "the data of this command");
  if (!why.empty()) throw Error(ErrorCode::kInput, why, {.file = file}, "use the same --data and --preprocess");
  part_.maxima = std::move(merged.maxima);
  part_.choice = std::move(merged.choice);
}

// What the part contradicts of this run, "" if nothing.
std::string CalibrationRun::objection(const CalibrationPart& part) {
  identify();
  const CalibrationIdentity& mine = part_.identity;
  if (const std::string why = other_model(part.identity, mine, mine.model); !why.empty()) return why;
  if (const std::string why = other_data(part.identity, mine, "the data of this command"); !why.empty()) return why;
  if (part.identity.isa != mine.isa) {
    return fmt::format("it was computed with {} instead of {}", part.identity.isa, mine.isa);
  }
  if (!(part.shard == part_.shard)) {
    return fmt::format("it is of --shard {}/{} instead of {}/{}", part.shard.number, part.shard.count,
                       part_.shard.number, part_.shard.count);
  }
  const bool needs_maxima = knows_maxima_ && part.stage == Stage::kDistributions;
  if (needs_maxima && !same_maxima(part, part_)) return "it was balanced by other maxima";
  if (part_.choice && part.choice != part_.choice) return "it was made after another choice of strengths or layers";
  return {};
}

void CalibrationRun::take_checkpoint() {
  CalibrationPart found = read_part(options_.checkpoint);
  std::string why = found.kind == CalibrationPart::Kind::kCheckpoint
                        ? objection(found)
                        : std::string("it is no checkpoint but a part that is complete");
  if (why.empty() && knows_maxima_ && found.stage == Stage::kPreliminary) why = "it is of the first round";
  if (!why.empty()) {
    throw Error(ErrorCode::kInput, fmt::format("this checkpoint cannot be continued: {}", why),
                {.file = options_.checkpoint.string()}, "repeat the command that was interrupted, or delete the file");
  }
  log_info(fmt::format("going on from {}: {} of {} samples are done", options_.checkpoint.string(), found.taken.size(),
                       own_samples().size()));
  take(std::move(found));
}

// Goes on from what a file knows of this run's samples.
void CalibrationRun::take(CalibrationPart found) {
  knows_maxima_ = knows_maxima_ || found.stage == Stage::kDistributions;
  found.identity = std::move(part_.identity);
  found.kind = CalibrationPart::Kind::kPart;
  part_ = std::move(found);
}

ObserveOptions CalibrationRun::observe_options() {
  ObserveOptions options{.workers = options_.workers, .batch = options_.batch, .checkpoint = {}};
  options.others = options_.others;
  if (options.others != nullptr) options.workers = options.others->threads();
  options.checkpoint_seconds = options_.checkpoint_seconds;
  if (options_.checkpoint.empty()) return options;
  options.checkpoint = [this](CalibrationPart& part) {
    const bool is_finite = std::all_of(part.tensors.begin(), part.tensors.end(),
                                       [](const auto& item) { return item.second.statistics.finite(); });
    if (!is_finite || checkpoint_failed_) return;
    identify();
    part.kind = CalibrationPart::Kind::kCheckpoint;
    try {
      write_part(part, options_.checkpoint);
    } catch (const Error& error) {
      checkpoint_failed_ = true;
      log_warning(fmt::format("no checkpoint is kept: {}", error.what()));
    }
    part.kind = CalibrationPart::Kind::kPart;
  };
  return options;
}

// This process's share beside the others', then all of them merged.
void CalibrationRun::share(const std::function<void()>& mine) {
  OtherShares* others = options_.others;
  if (others == nullptr) return mine();
  if (!others->is_running()) {
    const bool knows = (knows_maxima_ && !part_.maxima.empty()) || part_.choice;
    if (knows) write_preliminary(others->known_file());
    others->start(knows ? others->known_file() : fs::path{});
  }
  try {
    mine();
  } catch (const Error&) {
    if (others->has_failed()) others->wait();  // throws what went wrong there
    throw;
  }
  part_ = merge_parts(others->wait(), std::move(part_));
  is_identified_ = true;
}

void CalibrationRun::observe_maxima(const Graph& graph, const Plan& plan) {
  if (knows_maxima_ || !is_balanced(plan)) return;
  share([&] { amct::observe_maxima(graph, plan, *subject_.source, observe_options(), part_); });
  knows_maxima_ = options_.shard.count == 1 || options_.others != nullptr;
}

std::vector<std::string> CalibrationRun::balance(Graph& graph, Plan& plan) {
  if (!is_balanced(plan)) return {};
  observe_maxima(graph, plan);
  AMCT_CHECK(knows_maxima_, "the maxima are those of all shares");
  return amct::balance(graph, plan, part_.maxima);
}

void CalibrationRun::observe(const Graph& graph, Plan& plan, CalibrationTimes& times) {
  fill_weight_scales(graph, plan, weight_workers(graph, options_.workers));
  if (is_complete_) return;
  if (part_.stage == Stage::kPreliminary) {  // maxima were observed before: all samples run again
    part_.taken = {};
    part_.shard = options_.shard;
  }
  const auto start = Clock::now();
  share([&] { amct::observe(graph, plan, *subject_.source, observe_options(), part_, times); });
  times.run_seconds = seconds_since(start) - times.compile_seconds;  // waiting for the others included
}

void CalibrationRun::write(const fs::path& path) {
  identify();
  write_part(part_, path);
}

void CalibrationRun::write_preliminary(const fs::path& path) {
  identify();
  CalibrationPart known;
  known.stage = Stage::kPreliminary;
  known.identity = part_.identity;
  known.taken = {0, known.identity.samples};
  known.maxima = part_.maxima;
  known.choice = part_.choice;
  write_part(known, path);
}

bool CalibrationRun::take_written(const fs::path& path, Stage stage) {
  if (!is_there(path)) return false;
  try {
    CalibrationPart found = read_part(path);
    if (found.kind != CalibrationPart::Kind::kPart || found.stage != stage || !objection(found).empty()) return false;
    if (knows_maxima_ && !same_maxima(found, part_)) return false;
    take(std::move(found));
    return true;
  } catch (const Error& error) {
    log_debug(fmt::format("{} is made anew: {}", path.string(), error.what()));
    return false;
  }
}

bool CalibrationRun::has_observed(const Graph& graph, Plan& plan) {
  const HiddenStates states(graph, plan);
  std::set<std::string> wanted;
  for (const ObservedTensor& tensor : observed_tensors(states.graph(), plan)) wanted.insert(tensor.name);
  const auto same = [](const auto& known, const std::string& name) { return known.first == name; };
  if (std::ranges::equal(part_.tensors, wanted, same)) return true;
  part_.tensors.clear();
  part_.taken = {};
  return false;
}

void CalibrationRun::remove_checkpoint() const {
  std::error_code ignored;
  if (!options_.checkpoint.empty()) fs::remove(options_.checkpoint, ignored);
}

}  // namespace amct
