// Reads the record files of the golden models: layers in order with their factors. A few lines for tests; the product's
// reader is src/recipe.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "passes/quantize/plan_layers.h"

namespace amct::testing {

struct GoldenLayer {
  std::string key;
  float scale_d = 1;
  int offset_d = 0;
  std::vector<float> scale_w;
  std::vector<float> balance;
  int activation_bits = 8;
  int weight_bits = 8;
};

inline std::vector<GoldenLayer> read_golden_record(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<GoldenLayer> layers;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string key, value;
    words >> key >> value;
    if (key == "key:") {
      layers.emplace_back();
      layers.back().key = value.substr(1, value.size() - 2);
    } else if (key == "scale_d:") {
      layers.back().scale_d = std::stof(value);
    } else if (key == "offset_d:") {
      layers.back().offset_d = std::stoi(value);
    } else if (key == "scale_w:") {
      layers.back().scale_w.push_back(std::stof(value));
    } else if (key == "tensor_balance_factor:") {
      layers.back().balance.push_back(std::stof(value));
    } else if (key == "act_type:" || key == "wts_type:") {
      const int bits = std::stoi(value.substr(4));
      (key == "act_type:" ? layers.back().activation_bits : layers.back().weight_bits) = bits;
    }
  }
  return layers;
}

// Fills the quantized layers of `plan`, in order, with the record's factors.
inline void fill_plan(Plan& plan, const std::vector<GoldenLayer>& record) {
  size_t next = 0;
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || next >= record.size()) continue;
    const GoldenLayer& golden = record[next++];
    layer.activation.bits = golden.activation_bits;
    layer.activation.factor = ScaleOffset{golden.scale_d, golden.offset_d};
    layer.balance_factors = golden.balance;
    if (layer.weight) {
      layer.weight->bits = golden.weight_bits;
      layer.weight->scales = golden.scale_w;
    }
  }
}

}  // namespace amct::testing
