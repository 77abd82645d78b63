// Shape rules: from the types (and, where known, values) of the inputs to the types of the outputs.
//
// The same rule serves symbolic shapes (inspection, export) and concrete ones (the executor): it must cope with unknown
// element types, ranks and dims, and must throw, through `fail`, on shapes that the operator cannot take.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"

namespace amct {

class InferContext {
 public:
  struct Input {
    bool present = false;
    TensorType type;
    const Tensor* value = nullptr;  // known value (a constant, or a shape computed from known shapes), else null
  };
  InferContext(const Node& node, std::vector<Input> inputs)
      : node_(node), inputs_(std::move(inputs)), outputs_(node.outputs.size()), known_outputs_(node.outputs.size()) {}

  const Node& node() const { return node_; }
  size_t input_count() const { return inputs_.size(); }
  bool has(size_t port) const { return port < inputs_.size() && inputs_[port].present; }
  const TensorType& type(size_t port) const { return port < inputs_.size() ? inputs_[port].type : kNoInput.type; }
  const Shape& shape(size_t port) const { return type(port).shape; }
  DType dtype(size_t port) const { return type(port).dtype; }
  const Tensor* value(size_t port) const { return port < inputs_.size() ? inputs_[port].value : nullptr; }
  // The integers of an input whose value is known.
  std::optional<std::vector<int64_t>> ints(size_t port) const;

  size_t output_count() const { return outputs_.size(); }
  void set_output(size_t port, DType dtype, Shape shape) {
    if (port < outputs_.size()) outputs_[port] = {dtype, std::move(shape)};
  }
  const std::vector<TensorType>& outputs() const { return outputs_; }
  // The value of an output that the rule knows (from inside a subgraph); other values are followed by `infer_types`.
  void set_output_value(size_t port, Tensor value) {
    if (port < known_outputs_.size()) known_outputs_[port] = std::move(value);
  }
  const std::vector<Tensor>& output_values() const { return known_outputs_; }

  // Throws Error(kInput) with the node named.
  [[noreturn]] void fail(std::string message, std::string hint = {}) const;

 private:
  static const Input kNoInput;  // what is asked of ports that the node lacks

  const Node& node_;
  std::vector<Input> inputs_;
  std::vector<TensorType> outputs_;
  std::vector<Tensor> known_outputs_;
};

using InferFn = void (*)(InferContext&);

void infer_same_as_first(InferContext& c);  // output 0 has the type and shape of input 0
void infer_broadcast(InferContext& c);      // output 0: type of input 0, shape of all inputs broadcast together

// Numpy-style broadcast of two shapes; a dim stays unknown where the rule cannot tell. Nullopt if they do not fit.
std::optional<Shape> broadcast(const Shape& a, const Shape& b);

// What is known of every value of a graph, in tables indexed by ValueId.
struct InferredTypes {
  std::vector<TensorType> types;
  std::vector<Tensor> values;  // small values that follow from known shapes and constants (shape computations)
  // Outputs of rows with ShapeTiming::kFromBody whose extents the rule cannot tell: `types` has what the file declares,
  // which is a hint.
  std::vector<bool> hinted;
};

// Runs the shape rules over a graph, from the declared types of its inputs. `inputs` overrides the type and `known`
// gives the value of an input (concrete shapes, integers that shape rules read). A rule that fails throws
// Error(kInput); outputs of opaque nodes keep the type that the file declared.
InferredTypes infer_types(const Graph& graph, const std::unordered_map<ValueId, TensorType>& inputs = {},
                          const std::unordered_map<ValueId, Tensor>& known = {});

// The same, written to Value::type.
void update_types(Graph& graph);

}  // namespace amct
