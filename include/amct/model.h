// A neural network that was read from a file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "amct/error.h"

namespace amct {
inline namespace v1 {

struct TensorInfo {
  std::string name;
  std::string type;                  // "float32", "int64", …
  std::vector<std::string> extents;  // numbers, names of extents that are open, "?" for unknown ones
};

struct LayerInfo {
  std::string name;  // the layer key: what configurations and reports call it
  std::string op;    // the operator as the file calls it
  int64_t parameters = 0;
  int64_t macs = 0;  // multiply-accumulates of one sample; 0 if not known
  bool quantizable = false;
  std::string reason;  // why not
};

struct ModelInfo {
  std::vector<TensorInfo> inputs, outputs;
  std::vector<LayerInfo> layers;
  std::map<std::string, int> operators;  // operator -> number of nodes
  int64_t parameters = 0;
  int64_t macs = 0;
};

class AMCT_API Model {
 public:
  // Reads an ONNX file. Throws Error.
  static Model load(const std::string& path);

  // Writes it as ONNX; the file appears when it is complete. Throws Error.
  void save(const std::string& path) const;

  ModelInfo inspect() const;
  std::string text() const;  // the graph in the text form of docs/formats/graph-text.md

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

// The library's version, "1.2.3".
AMCT_API std::string version();

}  // namespace v1
}  // namespace amct
