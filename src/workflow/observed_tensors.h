// What calibration observes: the tensors that a plan names, and what one worker learns of one of them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "exec/channel_sums.h"
#include "exec/observer.h"
#include "exec/program.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// One tensor and every activation plan that wants its factor.
struct ObservedTensor {
  ValueId value;
  std::string name;
  std::vector<std::pair<std::string, ActivationPlan*>> users;  // layer or tensor name, for messages
  size_t channel_axis = 0;  // logical axis of the channels whose means are wanted; 0 = none
};

// Each tensor once, in the order of the plan; `users` point into the plan.
std::vector<ObservedTensor> observed_tensors(const Graph& graph, Plan& plan);

// How the views of a tensor are to be read when a program shows them.
struct ObservedView {
  size_t tail_capacity = 1;  // values kept exactly at each end: what the farthest percentile of any user needs
  size_t channel_axis = 0;   // memory axis of the channels; 0 = none
};
ObservedView observed_view(const ObservedTensor& tensor, const Program& program, int64_t samples);

class TensorStatistics {
 public:
  explicit TensorStatistics(const ObservedView& view)
      : observer_(view.tail_capacity), channel_axis_(view.channel_axis) {}
  void add(const TensorView& values);
  void merge(const TensorStatistics& other);
  Distribution distribution() const { return observer_.finish(); }
  std::vector<double> channel_means() const { return channels_.means(); }

 private:
  Observer observer_;
  ChannelSums channels_;
  size_t channel_axis_;
};

}  // namespace amct
