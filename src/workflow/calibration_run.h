// One calibration from wherever its knowledge comes: the samples, the checkpoint of an interrupted run, parts that
// other processes have made.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"
#include "workflow/calibrate.h"

namespace amct {

// What is calibrated. All must outlive the run.
struct CalibrationSubject {
  std::filesystem::path model;
  const DataSource* source = nullptr;  // null: everything comes from parts
  const std::vector<InputSpec>* inputs = nullptr;
  const DataOptions* data_options = nullptr;
  int64_t asked = 0;     // samples
  int64_t rows = 1;      // of them in one run of the model
  std::string settings;  // calibration_identity.h
};

struct CalibrationRunOptions {
  int workers = 1;
  int64_t batch = 1;
  Shard shard;
  std::vector<std::filesystem::path> parts;
  std::filesystem::path checkpoint;  // file
  bool resume = false;               // go on from it, if it is there
  double checkpoint_seconds = 30;
  OtherShares* others = nullptr;  // processes that observe the shares besides `shard`; null = nobody does here
};

class CalibrationRun {
 public:
  // Reads the parts or the checkpoint. Throws ErrorList of Error(kInput) with all that is wrong with the parts,
  // Error(kInput) for a checkpoint of something else.
  CalibrationRun(CalibrationSubject subject, CalibrationRunOptions options);

  // The steps, in this order; samples run only as far as nothing is known. `balance` (which see) includes
  // `observe_maxima`. With other shares beside it each step ends with what all of them have seen.
  void observe_maxima(const Graph& graph, const Plan& plan);
  std::vector<std::string> balance(Graph& graph, Plan& plan);
  void set_choice(Choice choice) { part_.choice = std::move(choice); }
  void observe(const Graph& graph, Plan& plan, CalibrationTimes& times);

  const CalibrationPart& part() const { return part_; }
  bool knows_maxima() const { return knows_maxima_; }  // over all samples
  bool is_complete() const { return is_complete_; }    // the parts hold everything

  // This process's samples, whether or not they were observed.
  SampleRange own_samples() const { return part_.shard.of(part_.identity.samples, subject_.rows); }

  // Writes what is known as a part of its own.
  void write(const std::filesystem::path& path);
  // Writes the maxima over all samples and the choice: what all shares are to know before they observe.
  void write_preliminary(const std::filesystem::path& path);
  // Takes over what `path` holds if it is what `write` (or `write_preliminary`) would write, but for the tensors that
  // are observed (`has_observed`); for a run that has done nothing yet.
  bool take_written(const std::filesystem::path& path, CalibrationPart::Stage stage);
  // True if the part knows exactly the tensors that `observe` would observe; otherwise it forgets them.
  bool has_observed(const Graph& graph, Plan& plan);
  void forget_tensors() { part_.tensors.clear(); }  // once factors are chosen: tens of megabytes
  void remove_checkpoint() const;                   // when its work is done

 private:
  void take_parts();
  void take_checkpoint();
  void take(CalibrationPart found);
  void identify();  // what is costly to know is found out when it is needed
  std::string objection(const CalibrationPart& part);
  ObserveOptions observe_options();
  void share(const std::function<void()>& mine);

  CalibrationSubject subject_;
  CalibrationRunOptions options_;
  CalibrationPart part_;
  bool is_identified_ = false;
  bool knows_maxima_ = false;
  bool is_complete_ = false;
  bool checkpoint_failed_ = false;
};

}  // namespace amct
