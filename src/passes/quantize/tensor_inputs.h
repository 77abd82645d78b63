// Inputs of operators without weights that are quantized on request (spec B.1 `tensor_quantize`, D.1, C.22), so that
// the operator's data can stay in integers between layers:
//
//   x -> MaxPool      becomes      x -> AscendQuant -> AscendAntiQuant -> MaxPool
//
// They may be inputs of Add, Sum, Concat and MaxPool. Joint quantization chooses all inputs of every Add, Sum and
// Concat in which the result of a quantized layer meets other computed values, and gives one scale and offset to
//   - all inputs of one such operator, and the result of a Concat,
//   - a value and what operators that only move or pick elements make of it (MaxPool, Reshape, a Pad with zeros),
// transitively. Whatever quantizes one of these values, layers too, takes the factor of its group: each value is
// quantized once, for the layers that read it and for the addition.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Operators whose inputs can be quantized, as model files call them: "Add", "Concat", …
std::vector<std::string> tensor_types();

// Why input `port` of the node cannot be quantized on request, as a clause; empty if it can.
std::string reason_against_input(const Graph& graph, const Node& node, int64_t port);

// Adds inputs to a plan whose tensors nobody else changes meanwhile.
class InputPlanner {
 public:
  InputPlanner(const Graph& graph, Plan& plan);
  // Returns the tensor of the input, which must be one that can be quantized: the first input of a tensor decides its
  // settings and factor, which may be others than `activation`.
  const TensorPlan& add(NodeId node, int64_t port, const ActivationPlan& activation);

 private:
  const Graph& graph_;
  Plan& plan_;
  std::unordered_map<std::string, size_t> index_;      // of plan_.tensors
  std::set<std::pair<std::string, int64_t>> planned_;  // nodes and ports
};
bool same_settings(const ActivationPlan& a, const ActivationPlan& b);  // but for the factor

// Adds joint quantization to the plan of the layers. All 8-bit quantizers of a group take the settings of the first
// layer that reads one of its values (symmetric where one of them must be), or defaults. Layers that lose their offset
// that way are named in the plan's warnings, and so is a graph in which nothing is joined.
void plan_joint(const Graph& graph, Plan& plan);

}  // namespace amct
