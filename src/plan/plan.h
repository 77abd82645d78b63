// The plan: what is to be done to each layer, and, once calibrated, with which numbers. Pure data: printed, edited and
// re-used as JSON (docs/formats/plan.md), turned into a graph by passes/quantize, written as a record file by recipe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace amct {

// How the range of an activation is chosen from its histogram (spec C.1, C.2 and the usual alternatives).
struct ClipSearch {
  enum class Method { kIfmr, kMinMax, kPercentile, kMse, kKl, kHfmg };
  Method method = Method::kIfmr;
  double max_percentile = 0.999999;
  double min_percentile = 0.999999;
  double search_start = 0.7;
  double search_end = 1.3;
  double search_step = 0.01;
  int bins = 4096;  // of kHfmg
  bool operator==(const ClipSearch&) const = default;
};
// As plans and the command line spell them: "ifmr", "min_max", …
using ClipMethodName = std::pair<ClipSearch::Method, const char*>;
std::span<const ClipMethodName> clip_methods();
std::optional<ClipSearch::Method> clip_method(std::string_view name);  // nullopt: there is none of that name

// As Ascend's operators and record files spell the type of so many bits: "INT8".
std::string integer_type_name(int bits);
int bits_of_type(std::string_view name);  // 8 where it is no such name

// x ~ scale * (q - offset), q in [-2^(bits-1), 2^(bits-1) - 1].
struct ScaleOffset {
  float scale = 1;
  int32_t offset = 0;
  bool operator==(const ScaleOffset&) const = default;
};

struct ActivationPlan {
  int bits = 8;
  bool asymmetric = true;
  ClipSearch search;
  std::optional<ScaleOffset> factor;  // filled by calibration
  bool fixed = false;                 // `factor` was given by the user: calibration leaves it
};

// Groups of inputs have this size or a multiple of it: runtimes and processors read blocks of so many weights.
inline constexpr int kLeastWeightGroup = 32;

struct WeightPlan {
  int bits = 8;
  bool per_channel = false;
  int group = 0;  // inputs of an output channel that share a scale (Gemm, MatMul); 0 = all
  int steps = 0;  // 16 or 32: so many distinct integers are used (non-uniform weights); 0 = all
  // One, one per output channel, or one per group and output channel in the order of the weight's elements; filled when
  // the plan is calibrated.
  std::vector<float> scales;
  std::vector<int> clusters;  // the `steps` integers, ascending; filled likewise
  // Mean square of each input channel, by which errors of its weights count for `clusters`; empty: all count alike.
  std::vector<float> input_energy;
};

// The second product of a recurrent layer: its state with the recurrent weights.
struct HiddenPlan {
  ActivationPlan activation;  // of the state before every step
  WeightPlan weight;
};

struct LayerPlan {
  std::string name;    // layer key
  std::string op;      // "conv", "gemm", …
  std::string tensor;  // value that feeds it (its quantized activation)
  bool quantize = true;
  std::string reason;  // why not, if not quantized; a clause without a full stop
  ActivationPlan activation;
  std::optional<WeightPlan> weight;        // absent for layers without a weight
  std::optional<HiddenPlan> hidden;        // of LSTM and GRU alone; their scales: one per row of gates, or per gate
  std::string second_tensor;               // of a product of two activations: what feeds its second input,
  std::optional<ActivationPlan> second;    // and its quantization; both inputs have 8 bits and no offset
  std::optional<double> balance_strength;  // of activation balance, in [0.2, 0.8]; absent: none
  std::vector<float> balance_factors;      // one per input channel; filled by calibration
  std::vector<float> bias_correction;      // added to the bias, per output channel; filled by calibration
  std::vector<int> shifts;            // the sums are cut to 16 bits: N per weight scale, 1 to 16; empty: they are not
  std::vector<int32_t> integer_bias;  // per output channel, as a quantized model came with it; else rounded
};

// One input of a node.
struct InputUse {
  std::string node;  // its name
  int64_t input = 0;
  bool operator==(const InputUse&) const = default;
};

// Factors of values that are quantized besides the inputs of layers.
struct TensorPlan {
  std::string tensor;
  ActivationPlan activation;
  std::vector<InputUse> uses = {};  // inputs that every form quantizes; empty: only some QDQ target wants the value
};

struct Plan {
  std::string model;              // file it was made for
  std::vector<LayerPlan> layers;  // quantizable layers and those that are not, in topological order
  std::vector<TensorPlan> tensors;
  // Names of values that share one factor, by group: all quantizers of 8 bits that read one of them have the same one.
  std::vector<std::vector<std::string>> joint;
  int64_t samples = 0;  // calibration samples that the factors come from
  std::string isa;      // instruction set they were computed with
  bool calibrate_with_quantized_weights = true;
  bool weight_only = false;    // activations stay float: nothing is calibrated
  bool half_scales = false;    // activation scales are rounded to float16 (AMCT's FORCE_FP16_QUANT)
  bool search_shifts = false;  // of every layer with a weight, by calibration (SearchN)
  bool correct_bias = true;    // take the mean error of the rounded weights off the biases
  std::vector<std::string> warnings;
  std::vector<std::string> origin;  // what the factors depend on besides model, data and settings: in the record file
  std::vector<std::string> downgrades;  // settings that a layer cannot have, and what it has instead

  const LayerPlan* find(const std::string& layer) const;
  LayerPlan* find(const std::string& layer);
  bool has_weight_groups() const;  // of a layer that is quantized
};

}  // namespace amct
