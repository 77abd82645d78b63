// Program: a graph compiled for concrete input extents; Runner: one worker's memory to run it in.
//
// Compilation infers concrete types, evaluates shape computations away, lets compute steps absorb what follows them,
// chooses a layout for every value, packs weights, and plans one arena from the lifetimes of all intermediates. The
// result is immutable and shared: each worker makes a Runner, which binds the steps to its own arena, so that running
// allocates nothing. A program compiled for one thread gives bit-identical results in every worker.
//
// exec names no operator: everything it needs is in the rows.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"
#include "ops/lower.h"

namespace amct {

struct CompileOptions {
  int threads = 1;
  int compilers = 1;             // threads that compile, if more than `threads`
  std::vector<ValueId> keep;     // values that stay readable after a run, besides the graph outputs
  std::vector<ValueId> observe;  // values handed to the observer as soon as they are computed
  bool absorb = true;            // let compute steps take in epilogues
  bool compiled_kernels = true;  // false: every node runs its plain kernel (the reference for tests)
  // For models whose weights fill the memory: matrix products read them where they lie, without a packed copy, and what
  // is not in memory comes there for one step at a time.
  bool lean = false;
};

// What the program reads: concrete extents of every graph input, and the values of those integer inputs that shape
// rules read, or of others that are the same at every run.
struct InputBinding {
  std::unordered_map<ValueId, Dims> dims;
  std::unordered_map<ValueId, DType> dtypes;  // where they are not the declared ones (inputs of subgraphs)
  std::unordered_map<ValueId, Tensor> values;
};

struct CompiledProgram;  // program_impl.h
class Profile;           // profile.h

// Whether a program computes a value, or what stands before it.
enum class Reach { kComputed, kBehindOpaque, kBehindData };

class Program {
 public:
  // The program keeps the graph, which must not change any more. Throws Error naming the node that cannot be compiled.
  // What lies behind an opaque node, or behind a node whose output shape depends on data, is left out: `reach` says
  // which outputs and kept values that concerns.
  static std::shared_ptr<const Program> compile(std::shared_ptr<const Graph> graph, const InputBinding& binding,
                                                const CompileOptions& options = {});
  ~Program();

  struct StepInfo {
    std::vector<std::string> nodes;  // the node and those it absorbed, by name
    std::string op;
    std::string implementation;
    Layout layout = Layout::kPlain;  // of output 0
    Dims dims;                       // of output 0, logical
    int64_t macs = 0;                // multiply-accumulates of these nodes
    int64_t bytes = 0;               // that it reads and writes, once each
  };
  std::vector<StepInfo> steps() const;
  size_t arena_bytes() const;
  const Graph& graph() const;
  int64_t batch() const;                 // samples that a run takes: the leading extent of all inputs, 1 if they differ
  bool reads_input(size_t index) const;  // false: nothing needs its extents, or its value was compiled in
  Reach reach(ValueId id) const;
  bool complete() const;                     // every output, kept and observed value is computed
  const TensorType& type(ValueId id) const;  // concrete
  Layout observed_layout(ValueId id) const;  // memory order of the view that the observer gets

 private:
  friend class Runner;
  explicit Program(std::unique_ptr<CompiledProgram> compiled);
  std::unique_ptr<CompiledProgram> compiled_;
};

// Called with each observed value right after the step that computes it. The view has memory extents: elements are
// dense, in an order of the executor's choosing.
using ObserveFn = std::function<void(ValueId, const TensorView&)>;

class Runner {
 public:
  explicit Runner(std::shared_ptr<const Program> program);
  ~Runner();

  // Memory of graph input `index`, to be filled before `run` (plain layout).
  MutableView input(size_t index);
  void run(const ObserveFn& observe = {}, Profile* profile = nullptr);
  // Runs in parts: each call goes on until observed values have been handed over, the last one to the end. False when
  // nothing was left to hand over; the next call begins anew.
  bool advance(const ObserveFn& observe);
  // Graph output `index`, or any kept value, after `run`; plain layout; valid until the next run.
  TensorView output(size_t index) const;
  TensorView value(ValueId id) const;
  const Program& program() const { return *program_; }

 private:
  struct Impl;
  void run_step(size_t index);
  std::shared_ptr<const Program> program_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace amct
