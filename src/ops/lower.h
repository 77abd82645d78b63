// Lowering: how a node becomes a step of a compiled program.
//
// The executor fixes concrete extents and layouts, offers the nodes that follow as epilogues, and asks the row for a
// step. A step is immutable and shared by all workers; `bind` ties it to the addresses of one worker's arena and
// returns the function to call per run, so that running creates and allocates nothing.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/simd/int_epilogue.h"
#include "ops/run.h"

namespace amct {

// What a row can do with layouts.
enum class LayoutRule {
  kPlain,               // plain memory only: the executor reorders before it
  kFollow,              // works in the layout of its inputs; sees memory extents; all inputs of full rank in one layout
  kPreferChannelsLast,  // wants channels-last images and makes them (convolution, pooling); only with `lower`
};

// An operation applied to every element of a compute step's result before it is stored.
struct Epilogue {
  enum class Kind {
    kClip,       // min(max(x, alpha), beta); ReLU is clip to [0, inf)
    kLeakyRelu,  // x < 0 ? alpha x : x
    kElu,
    kSigmoid,
    kTanh,
    kGeluErf,
    kGeluTanh,
    kSwish,
    kHardSwish,
    kHardSigmoid,
    kSoftplus,
    kSqrt,
    kAbs,
    kExp,
    kLog,
    kLinear,   // alpha x + beta
    kAdd,      // x + operand, an activation of the same extents
    kInteger,  // `stages`: between the integers of a quantized network and floats
  };
  Kind kind = Kind::kClip;
  float alpha = 0;
  float beta = 0;
  ValueId operand = kNoValue;        // of kAdd, and of a kInteger that adds one
  std::vector<IntStage> stages;      // of kInteger
  DType result = DType::kUndefined;  // type of the result, where it differs from that of x
};

// What a row answers when the executor asks whether a compute step may absorb this node. `through` is the input port by
// which the computed value enters. Nullopt = it may not.
struct AbsorbQuery {
  const Graph& graph;
  const Node& node;
  size_t through;
  std::function<const Dims&(ValueId)> dims;
  std::function<DType(ValueId)> dtype;
};
using AbsorbFn = std::optional<Epilogue> (*)(const AbsorbQuery&);

struct StepIo {
  std::vector<TensorView> inputs;  // memory extents; the node's inputs, then the operands of epilogues in order
  std::vector<MutableView> outputs;
  std::byte* scratch = nullptr;  // 64-byte aligned, `scratch_bytes` long, of this worker alone
};

class Step {
 public:
  virtual ~Step() = default;
  // Ties the step to addresses. Throws Error on failure; the returned function may throw as well.
  virtual std::function<void()> bind(const StepIo& io) const = 0;
  virtual size_t scratch_bytes() const { return 0; }
  // What runs: oneDNN's implementation name ("jit:avx512_core", "brgconv:avx512_core"), "simd" or "generic".
  virtual std::string implementation() const = 0;
  // True if output 0 must share the buffer of the kAdd operand (a sum in place); the executor grants it or lowers again
  // without that epilogue.
  virtual bool sums_in_place() const { return false; }
  // False for a constant that the step keeps in a form of its own: it is not read any more, and `bind` may find null.
  virtual bool reads(size_t /*input*/) const { return true; }
};

class LowerContext {
 public:
  struct Port {
    DType dtype = DType::kUndefined;  // kUndefined = absent
    Dims dims;                        // logical extents
    Layout layout = Layout::kPlain;
    const Tensor* constant = nullptr;  // set if the value is constant: weights are packed once, at lowering; not always
                                       // resident (ir/tensor.h)
  };
  LowerContext(const Graph& graph, const Node& node, std::vector<Port> inputs, std::vector<Port> outputs,
               std::vector<Epilogue> epilogues, int threads, bool packs_products = true)
      : graph_(graph),
        node_(node),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        epilogues_(std::move(epilogues)),
        threads_(threads),
        packs_products_(packs_products) {}

  const Graph& graph() const { return graph_; }
  const Node& node() const { return node_; }
  size_t input_count() const { return inputs_.size(); }
  bool has(size_t port) const { return port < inputs_.size() && inputs_[port].dtype != DType::kUndefined; }
  const Port& input(size_t port) const { return inputs_[port]; }
  const Port& output(size_t port) const { return outputs_[port]; }
  // Offered epilogues in order. A step must apply all of them or the row returns null (the executor then asks again
  // with fewer).
  const std::vector<Epilogue>& epilogues() const { return epilogues_; }
  int threads() const { return threads_; }
  // False: matrix products read their constant operand where it lies, at every run, instead of packing it.
  bool packs_products() const { return packs_products_; }

 private:
  const Graph& graph_;
  const Node& node_;
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  std::vector<Epilogue> epilogues_;
  int threads_;
  bool packs_products_;
};

// Null = this case has no compiled step: the executor offers fewer epilogues, then plain layouts, then uses `run`.
using LowerFn = std::unique_ptr<Step> (*)(const LowerContext&);

}  // namespace amct
