// Which values of a graph a QDQ target (qdq_targets.h) quantizes: worked out once, for calibration, which must observe
// them (tensors_to_calibrate), and for the rewriting (apply_qdq.cc), which puts a pair behind each.
//
// The inputs of quantized layers are not all: a runtime computes in integers only where all that an operator reads and
// gives is quantized, so that additions, pooling, reshapes and results of layers get pairs as well. Values that hold
// the same numbers in another order share one factor.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/graph.h"
#include "passes/quantize/qdq_targets.h"
#include "plan/plan.h"

namespace amct {

// The operator between a layer and its quantizer that may vanish: its result's range.
struct AbsorbedRange {
  NodeId node;
  float low = 0;
  float high = 0;  // infinity for ReLU
};

struct QdqPlace {
  ValueId value;
  // The value whose factor serves: itself, or what operators that only move elements got it from.
  ValueId source;
  std::optional<AbsorbedRange> absorbed;  // the producer of `value`, when it may vanish
};

// A layer with a 4-bit activation has a pair of its own, which nobody else reads: no runtime computes with such
// integers, so that more pairs around it would only cost accuracy.
bool has_own_pair(const LayerPlan& layer);

// In topological order of the values' producers; without the layers that have a pair of their own.
std::vector<QdqPlace> qdq_places(const Graph& graph, const Plan& plan, const QdqTarget& target);

// Which of the plan's tensors (or layer inputs) a place takes its factor from; places of one source share it.
class FactorTensors {
 public:
  FactorTensors(const Graph& graph, const Plan& plan, const std::vector<QdqPlace>& places);
  const std::string& of(ValueId source) const;
  bool is_layer_input(const std::string& tensor) const { return layer_inputs_.contains(tensor); }

 private:
  const Graph& graph_;
  std::unordered_set<std::string> layer_inputs_;         // and inputs that the plan quantizes in every form
  std::unordered_map<ValueId, ValueId> layer_input_of_;  // by source: the first place that feeds a layer
};

// Values that these targets quantize beyond the inputs of layers, by name: calibration gives each a TensorPlan.
std::vector<std::string> tensors_to_calibrate(const Graph& graph, const Plan& plan,
                                              const std::vector<QdqTarget>& targets = {qdq_target(kDefaultQdqTarget)});

}  // namespace amct
