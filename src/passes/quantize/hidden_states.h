// What a recurrent layer's state is before each step, as a value that calibration can observe (spec C.19): the initial
// state, then the outputs of all steps but the last:
//
//   <layer>.hidden_states = Concat(initial_h, Y[:-1] without its axis of directions)      (steps, batch, hidden)
//
// The recurrence itself need not be opened: ONNX hands out the state behind every step as Y, and the state behind one
// step is the one before the next. Behind the end of a sequence (sequence_lens) Y is zero, which changes no range.
//
// A layer that takes one step a call (streaming speech) has no Y[:-1], and its state comes from the call before.
// Where the data gives zeros for it, the state that the call ends with stands in, because it is what comes next:
//   <layer>.hidden_states = Where(ReduceMax(|initial_h|) == 0, Y_h, initial_h)
#pragma once

#include <optional>
#include <string>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

std::string hidden_states_name(const std::string& layer);

bool has_hidden_states(const Plan& plan);  // a recurrent layer is quantized

// The graph with such a value for every recurrent layer that the plan quantizes. Nothing else changes; ids stay.
Graph with_hidden_states(const Graph& graph, const Plan& plan);

// That graph, or the one that was given where no recurrent layer is quantized. `graph` must outlive it.
class HiddenStates {
 public:
  HiddenStates(const Graph& graph, const Plan& plan) : graph_(&graph) {
    if (has_hidden_states(plan)) graph_ = &extended_.emplace(with_hidden_states(graph, plan));
  }
  HiddenStates(const HiddenStates&) = delete;
  HiddenStates& operator=(const HiddenStates&) = delete;
  const Graph& graph() const { return *graph_; }

 private:
  std::optional<Graph> extended_;
  const Graph* graph_;
};

}  // namespace amct
