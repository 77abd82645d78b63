// AMCT's post-training configuration as data: the simplified form (a `.cfg` file: rules for all layers, for operators,
// for single layers) and the explicit form that it is expanded to (JSON: every layer with all of its settings).
// Spec B.1 and B.2; legal values are in option_table.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"

namespace amct::config {

// Something that a file names, and where.
struct Named {
  std::string name;
  int line = 0;
  int column = 0;
};

struct WeightSettings {
  enum class Algorithm { kArq, kAdaRound, kNuq };
  struct AdaRound {
    int64_t iterations = 10000;
    double reg_param = 0.01;
    double beta_start = 20;
    double beta_end = 2;
    double warm_start = 0.2;
    bool operator==(const AdaRound&) const = default;
  };
  struct Nuq {
    int steps = 32;
    int iterations = 1;
    bool operator==(const Nuq&) const = default;
  };
  Algorithm algorithm = Algorithm::kArq;
  std::optional<bool> channel_wise;  // not set: as the layer's operator has it by default
  int bits = 8;
  AdaRound adaround;  // of kAdaRound
  Nuq nuq;            // of kNuq
  bool operator==(const WeightSettings&) const = default;
};

struct ActivationSettings {
  ClipSearch search;
  std::optional<bool> asymmetric;  // not set: as the wider rules say
  int bits = 8;
  bool operator==(const ActivationSettings&) const = default;
};

struct CalibrationSettings {
  WeightSettings weight;
  ActivationSettings activation;
  std::optional<double> migration_strength;  // activation balance; not set: none
  bool operator==(const CalibrationSettings&) const = default;
};

struct TensorSettings {
  Named layer;
  int64_t input_index = 0;
  ActivationSettings activation;
};

// What both forms say about the whole model.
struct ModelSettings {
  std::optional<int64_t> batch_num;  // not set: AMCT takes one
  bool activation_offset = true;
  bool joint_quant = false;
  bool do_fusion = true;
  bool force_fp16_quant = false;
  std::vector<Named> skip_fusion_layers;
  std::vector<TensorSettings> tensors;
};

struct SimpleConfig {
  ModelSettings model;
  std::vector<Named> skip_layers;
  std::vector<Named> skip_layer_types;
  std::vector<Named> skip_approximation_layers;
  std::optional<CalibrationSettings> common;
  std::optional<CalibrationSettings> conv;  // older forms of `common`
  std::optional<CalibrationSettings> fc;
  std::vector<std::pair<Named, CalibrationSettings>> types;
  std::vector<std::pair<Named, CalibrationSettings>> layers;
  std::optional<std::string> nuq_mapping_file;
  std::vector<std::string> nuq_layers;  // that the mapping file names
  std::optional<WeightSettings::Nuq> nuq;
};

struct LayerSettings {
  Named layer;
  bool quantize = true;
  CalibrationSettings settings;
};

struct ExplicitConfig {
  ModelSettings model;
  std::vector<LayerSettings> layers;
};

}  // namespace amct::config
