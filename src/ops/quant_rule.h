// The quantization rule of an operator: what a quantizer may do with it, as data.
//
// Every row of the operator table has one; there is no default, so that no operator is left out by mistake. What asks
// it: planning, for the layers to be quantized and why others are not (passes/quantize/plan_layers.h), the targets of
// QDQ, for where pairs may stand, and `amct inspect` and `amct ops`, for what to say to people.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "ir/graph.h"

namespace amct {

// Checks that depend on one node (constant weight, dilation, transposition): empty = quantizable, else the reason why
// not, as a clause: "its weight is computed, not constant".
using QuantCheck = std::string (*)(const Graph&, const Node&);

class QuantRule {
 public:
  enum class Kind {
    kCompute,       // multiplies activations with weights in integers; the layers that AMCT quantizes
    kPassThrough,   // output values are input values: the input's quantizer serves the output
    kSameScaleAll,  // inputs and output share one quantizer (concat)
    kFixedRange,    // the output range is known (sigmoid, softmax)
    kKeepFloat,     // stays float, for the stated reason
  };
  struct Compute {
    int weight_port = -1;  // -1 = no weight (average pooling)
    int bias_port = -1;
    int recurrent_port = -1;      // weight of the state (LSTM, GRU): such a layer has a LayerPlan::hidden
    int channel_axis = 0;         // of the weight: output channels (read it through channel_axis_for)
    bool per_channel = false;     // one weight scale per output channel by default (convolutions)
    bool symmetric_only = false;  // the activation offset must be 0
    QuantCheck check = nullptr;
    // Where the two above depend on the node (a transposed weight, a 3-d convolution); null = they do not.
    int (*channel_axis_of)(const Graph&, const Node&) = nullptr;
    bool (*symmetric_only_of)(const Graph&, const Node&) = nullptr;

    int channel_axis_for(const Graph& graph, const Node& node) const {
      return channel_axis_of != nullptr ? channel_axis_of(graph, node) : channel_axis;
    }
    bool symmetric_only_for(const Graph& graph, const Node& node) const {
      return symmetric_only_of != nullptr ? symmetric_only_of(graph, node) : symmetric_only;
    }
  };

  static QuantRule compute(Compute compute) { return QuantRule(Kind::kCompute, compute, {}, 0, 0); }
  static QuantRule pass_through() { return QuantRule(Kind::kPassThrough, {}, {}, 0, 0); }
  static QuantRule same_scale_all() { return QuantRule(Kind::kSameScaleAll, {}, {}, 0, 0); }
  static QuantRule fixed_range(double low, double high) { return QuantRule(Kind::kFixedRange, {}, {}, low, high); }
  static QuantRule keep_float(std::string reason) { return QuantRule(Kind::kKeepFloat, {}, std::move(reason), 0, 0); }

  Kind kind() const { return kind_; }
  const Compute& compute_rule() const { return compute_; }
  double low() const { return low_; }
  double high() const { return high_; }
  const std::string& reason() const { return reason_; }

 private:
  QuantRule(Kind kind, Compute compute, std::string reason, double low, double high)
      : kind_(kind), compute_(compute), reason_(std::move(reason)), low_(low), high_(high) {}
  Kind kind_;
  Compute compute_;
  std::string reason_;
  double low_;
  double high_;
};

}  // namespace amct
