// What a model consists of: inputs, outputs, layers, operators, and what could be quantized.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace amct {

struct LayerFacts {
  std::string name;
  std::string op;
  std::string foreign_type;  // the operator as the file calls it
  std::string output;        // type and shape of the first output
  int64_t parameters = 0;
  int64_t macs = 0;  // of one sample (of one turn, in a loop); 0 if the shape is not known
  bool quantizable = false;
  std::string reason;  // why not
};

struct ModelFacts {
  std::string path, format;
  int64_t opset = 0;
  uint64_t file_bytes = 0;
  int64_t parameters = 0;
  int64_t macs = 0;
  std::vector<std::pair<std::string, TensorType>> inputs, outputs;
  std::vector<LayerFacts> layers;
  std::map<std::string, int> operators;       // foreign type -> number of nodes
  std::map<std::string, std::string> opaque;  // operators that cannot be run -> why
};

ModelFacts inspect(const Graph& graph);

std::string human_count(int64_t count);   // "470 k", "41 M"
std::string human_bytes(uint64_t bytes);  // "1.9 MB"

}  // namespace amct
