// What a compiled program consists of: the compiler (compile.cc) fills it, the runner (runner.cc) reads it, nobody else
// sees it. Immutable once compiled; runners share it and add an arena each.
//
// Steps run in order. Every operand has a place: a constant, or a buffer, which the arena's plan (arena.h) has turned
// into an offset, so that binding a step to a runner is adding that offset to the address of the runner's arena.
#pragma once

#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "exec/arena.h"
#include "exec/needed.h"
#include "exec/program.h"

namespace amct {

// Where an operand of a step lies.
struct Place {
  DType dtype = DType::kUndefined;  // kUndefined = absent
  Dims dims;                        // memory extents
  int buffer = -1;                  // arena buffer, or
  Tensor constant;                  // a constant, in the layout that the step wants
};

struct CompiledStep {
  std::unique_ptr<Step> step;
  std::vector<Place> inputs;
  std::vector<Place> outputs;
  int scratch = -1;  // arena buffer
  Program::StepInfo info;
  std::string node;                                 // for error messages
  std::vector<std::pair<ValueId, Place>> observed;  // handed to the observer after the step
};

struct CompiledProgram {
  std::shared_ptr<const Graph> graph;
  CompileOptions options;
  InferredTypes types;
  Needed needed;
  std::vector<ValueId> wanted;
  std::vector<ArenaBuffer> buffers;
  size_t arena_bytes = 0;
  std::vector<CompiledStep> steps;
  std::vector<Place> inputs;  // by graph input, plain
  std::vector<std::pair<ValueId, Place>> observed_inputs;
  std::unordered_map<ValueId, Layout> observed_layouts;  // of values that steps compute
  std::unordered_map<ValueId, Place> readable;           // graph outputs and kept values, plain
};

// Fills steps, buffers and places; the rest of `program` is set.
void compile_steps(CompiledProgram& program);

}  // namespace amct
