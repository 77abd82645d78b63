// The programs of one graph, by the types and extents of its inputs; workers share them.
//
// Where shapes follow from the values of inputs, these values become part of the key. The cache is bounded, and so is
// the number of programs that are compiled for values: where these are others at every run, programs that hold for all
// of them, and end before the first shape that they decide, are the better ones.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "exec/program.h"

namespace amct {

inline constexpr size_t kCachedPrograms = 8;

class ProgramCache {
 public:
  // `constants` by input index have the same value at every run and are compiled in. Of the other inputs only the last
  // `deciding` may decide shapes by their values.
  ProgramCache(std::shared_ptr<const Graph> graph, CompileOptions options, std::unordered_map<size_t, Tensor> constants,
               size_t deciding);
  ~ProgramCache();

  // All may be called by several threads. `inputs` in the order of the graph's.

  // The program for inputs of these types and extents (and values), compiled if needed. Incomplete
  // (Program::complete) if shapes depend on data or an operator is opaque.
  std::shared_ptr<const Program> find(const std::vector<Tensor>& inputs);
  // The same if it is there, else null.
  std::shared_ptr<const Program> cached(const std::vector<Tensor>& inputs);
  // What the program for these inputs is found by.
  std::string key_of(const std::vector<Tensor>& inputs) const;
  void clear();

  const std::shared_ptr<const Graph>& graph() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace amct
