// Two models on the same samples, output by output and layer by layer: where a compressed network departs from its
// original.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"

namespace amct {

struct ValueComparison {
  std::string name;  // output or layer key
  std::string op;    // of a layer
  double sqnr_db = 0;
  double cosine = 0;
  double largest_difference = 0;
};

struct Comparison {
  int64_t samples = 0;
  std::vector<ValueComparison> outputs;
  std::vector<ValueComparison> layers;  // worst first
  bool classes = false;                 // output 0 holds one row of scores a sample
  double logit_sqnr_db = 0;             // of output 0, softmax undone, each sample's mean removed
  double same_class_percent = 0;        // samples whose top class stays the same
};

struct CompareOptions {
  int64_t samples = 0;        // the first N; 0 = all
  int64_t layer_samples = 0;  // of those, how many are compared layer by layer, which is slower; 0 = all
  bool layers = true;         // false: outputs only
  int workers = 1;
};

// `original` and `compressed` take the same inputs. Layers are matched by key; in a quantized graph the result of a
// layer is what leaves its dequantization. Throws Error(kInput) when the models do not fit together.
Comparison compare(std::shared_ptr<const Graph> original, std::shared_ptr<const Graph> compressed,
                   const DataSource& source, const CompareOptions& options);

}  // namespace amct
