// What calibration observes: the tensors that a plan names, and what one worker learns of one of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "exec/channel_sums.h"
#include "exec/observer.h"
#include "exec/program.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

constexpr int kJointBits = 8;  // activations of other widths keep factors of their own within a group

// One tensor and every activation plan that wants its factor.
struct ObservedTensor {
  ValueId value;
  std::string name;
  std::vector<std::pair<std::string, ActivationPlan*>> users;  // layer or tensor name, for messages
  size_t channel_axis = 0;           // logical axis of the channels whose means are wanted; 0 = none
  size_t group = 0;                  // number of the first tensor of its group; its own outside of groups
  bool joint = false;                // it shares its factor with its group (Plan::joint)
  std::optional<ScaleOffset> given;  // by the user, for 8 bits

  const std::string& user() const { return users.empty() ? name : users[0].first; }
};

// Each tensor once, in the order of the plan; `users` point into the plan. `graph` has the states of recurrent layers
// as values (with_hidden_states).
std::vector<ObservedTensor> observed_tensors(const Graph& graph, Plan& plan);

// Numbers of bins of the histograms of HFMG that its users ask for.
std::vector<int> hfmg_bins(const ObservedTensor& tensor);

// How the views of a tensor are to be read when a program shows them. Depends on the number of samples of the whole
// calibration: statistics merge only if they were told the same.
struct ObservedView {
  size_t tail_capacity = 1;  // values kept exactly at each end: what the farthest percentile of any user needs
  size_t channel_axis = 0;   // memory axis of the channels; 0 = none
  int64_t every = 1;         // rows for one that is counted into buckets, see Observer; 1 within groups, which merge
};
// One for each tensor. Those of one group keep as many values as the group needs together.
std::vector<ObservedView> observed_views(const std::vector<ObservedTensor>& tensors, const Program& program,
                                         int64_t samples);

class TensorStatistics {
 public:
  explicit TensorStatistics(const ObservedView& view)
      : tail_capacity_(view.tail_capacity),
        observer_(view.tail_capacity, view.every),
        channel_axis_(view.channel_axis) {}
  void add(const TensorView& values);
  void merge(const TensorStatistics& other);
  void merge(TensorStatistics&& other);  // costs nothing where nothing has been added yet
  const Observer& observer() const { return observer_; }
  size_t tail_capacity() const { return tail_capacity_; }
  Distribution distribution() const { return observer_.finish(); }
  std::vector<double> channel_means() const { return channels_.means(); }
  bool finite() const { return observer_.finite(); }
  bool merges_with(const TensorStatistics& other) const;  // they come from views of the same form

  // What merges and gives the same bits; only if it is finite. What is read takes no views any more. `read` throws
  // Error(kInput).
  void write(ByteWriter& out) const;
  static TensorStatistics read(ByteReader& in);

 private:
  TensorStatistics(Observer observer, ChannelSums channels)
      : tail_capacity_(observer.tail_capacity()),
        observer_(std::move(observer)),
        channels_(std::move(channels)),
        channel_axis_(0) {}
  size_t tail_capacity_;
  Observer observer_;
  ChannelSums channels_;
  size_t channel_axis_;
};

}  // namespace amct
