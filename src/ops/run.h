// The plain kernel of a row: computes outputs from inputs, element by element, for any type the operator takes.
//
// It is what constant folding uses, what the executor falls back on, and the reference the compiled steps are tested
// against. In a channels-last program the views of a row with LayoutRule::kFollow have *memory* extents (N, spatial…,
// C); such a row maps its axis attributes through `memory_axis`.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ir/graph.h"

namespace amct {

enum class Layout {
  kPlain,         // memory order = logical order
  kChannelsLast,  // rank >= 3: (N, C, spatial…) stored as (N, spatial…, C)
};

// Extents in memory order, and the memory position of a logical axis.
Dims memory_dims(const Dims& logical, Layout layout);
Dims logical_dims(const Dims& memory, Layout layout);
size_t memory_axis(size_t logical_axis, size_t rank, Layout layout);

// Runs the subgraphs of control-flow nodes (ops/subgraph.h). Without one, they run node by node with plain kernels; the
// executor supplies one that compiles them.
class GraphRunner {
 public:
  virtual ~GraphRunner() = default;
  // The outputs of `graph` for `inputs` in the order of graph->inputs(). Inputs may lie in memory that is borrowed for
  // the time of the call (`borrow`); an output that is an input may lie there too.
  virtual std::vector<Tensor> run(const std::shared_ptr<const Graph>& graph, const std::vector<Tensor>& inputs) = 0;
};

// A tensor on memory that it does not own.
Tensor borrow(const TensorView& view);

class RunContext {
 public:
  RunContext(const Node& node, std::vector<TensorView> inputs, std::vector<MutableView> outputs, int threads = 1,
             Layout layout = Layout::kPlain, GraphRunner* graphs = nullptr)
      : node_(node),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        threads_(threads),
        layout_(layout),
        graphs_(graphs) {}

  const Node& node() const { return node_; }
  size_t input_count() const { return inputs_.size(); }
  bool has(size_t port) const { return port < inputs_.size() && inputs_[port]; }
  const TensorView& input(size_t port) const { return inputs_[port]; }
  size_t output_count() const { return outputs_.size(); }
  bool wants(size_t port) const { return port < outputs_.size() && outputs_[port]; }
  const MutableView& output(size_t port) const { return outputs_[port]; }
  int threads() const { return threads_; }
  Layout layout() const { return layout_; }
  size_t memory_axis(size_t logical_axis, size_t rank) const { return amct::memory_axis(logical_axis, rank, layout_); }

  // For rows with ShapeTiming::kFromData or kFromBody only: memory for an output whose extents are known only now.
  MutableView allocate_output(size_t port, DType dtype, Dims dims);
  std::vector<Tensor>& allocated() { return allocated_; }
  // Runs a subgraph of the node.
  std::vector<Tensor> run_graph(const std::shared_ptr<const Graph>& graph, const std::vector<Tensor>& inputs) const;

 private:
  const Node& node_;
  std::vector<TensorView> inputs_;
  std::vector<MutableView> outputs_;
  std::vector<Tensor> allocated_;
  int threads_;
  Layout layout_;
  GraphRunner* graphs_;
};

using RunFn = void (*)(RunContext&);

// Runs one node on tensors, outside any program: infers the output types, allocates, runs. For constant folding, tests
// and shape computations. Throws Error(kUnsupported) for an opaque node. `graphs` runs its subgraphs, if given.
std::vector<Tensor> run_node(const Node& node, const std::vector<Tensor>& inputs, GraphRunner* graphs = nullptr);

}  // namespace amct
