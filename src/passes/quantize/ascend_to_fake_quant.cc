#include "passes/quantize/ascend_to_fake_quant.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/onnx_types.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_recurrent.h"
#include "passes/quantize/fake_quant_chain.h"
#include "passes/quantize/integer_constants.h"

namespace amct {
namespace {

class FakeQuantizer {
 public:
  explicit FakeQuantizer(const Graph& deploy) : graph_(deploy) {}

  Graph run() {
    follow_integers();
    for (const NodeId id : graph_.nodes()) {  // before the values that they read are replaced
      const Node& node = graph_.node(id);
      if (node.op != "ascend_quant") continue;
      if (graph_.value(node.input(0)).type.dtype == DType::kFloat16) half_inputs_.insert(id);
    }
    for (const NodeId id : graph_.topological_order()) {
      const std::string& op = graph_.node(id).op;
      if (op == "ascend_quant") {
        replace_quant(id);
      } else if (op == "ascend_dequant") {
        replace_dequant(id);
      } else if (op == "ascend_anti_quant") {
        replace_anti_quant(id);
      } else if (op == "ascend_lstm" || op == "ascend_gru") {
        simulate_recurrent(graph_, id);
      }
    }
    update_types(graph_);
    return std::move(graph_);
  }

 private:
  ValueId scalar(const std::string& name, float value) {
    return graph_.add_constant(name, Tensor::scalar<float>(value));
  }

  ValueId add(const std::string& name, std::string_view op, std::vector<ValueId> inputs, Attrs attrs = {}) {
    const NodeId id = add_op(graph_, name, op, std::move(inputs), std::move(attrs), name + ".output0");
    return graph_.node(id).output();
  }

  static Tensor as_floats(const Tensor& integers) {
    return when_needed(integers, DType::kFloat32, integers.dims(),
                       [](const Tensor& tensor) { return tensor.resident().cast(DType::kFloat32); });
  }

  // Every constant of integers that meets quantized activations becomes floating point.
  void follow_integers() {
    std::unordered_set<ValueId> integers;
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      if (node.op == "ascend_dequant" || node.op == "ascend_anti_quant") continue;
      const bool quantizes = node.op == "ascend_quant";
      const bool follows =
          std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return integers.contains(v); });
      if (!quantizes && !follows) continue;
      if (follows && node.is_opaque()) {
        throw Error(ErrorCode::kUnsupported, "quantized integers enter an operator that is not known",
                    {.model = graph_.info.path, .node = node.name, .op = node.op});
      }
      for (const ValueId output : node.outputs) integers.insert(output);
      for (size_t port = 0; follows && port < graph_.node(id).inputs.size(); ++port) to_float(id, port);
    }
  }

  void to_float(NodeId id, size_t port) {
    const ValueId value = graph_.node(id).input(port);
    const Tensor* tensor = value.valid() ? graph_.constant(value) : nullptr;
    if (tensor == nullptr || graph_.node(id).row->input_port(port)->role == Role::kShape) return;
    const DType dtype = tensor->dtype();
    if (dtype != DType::kInt8 && dtype != DType::kInt16 && dtype != DType::kInt32 && dtype != DType::kInt4) return;
    if (const auto known = converted_.find(value); known != converted_.end()) {
      graph_.set_input(id, port, known->second);
      return;
    }
    if (graph_.value(value).uses.size() == 1) {  // the usual case: the constant keeps its name
      graph_.replace_constant(value, as_floats(*tensor));
      return;
    }
    const ValueId fresh = graph_.add_constant(graph_.value(value).name + ".float", as_floats(*tensor));
    graph_.value(fresh).origin = graph_.value(value).origin;
    converted_.emplace(value, fresh);
    graph_.set_input(id, port, fresh);
    if (graph_.value(value).uses.empty()) graph_.erase_value(value);
  }

  void replace_by(NodeId id, ValueId result) {
    const ValueId output = graph_.node(id).output();
    graph_.value(result).type = graph_.value(output).type;  // extents and floats are those of what follows
    graph_.replace_uses(output, result);
    graph_.erase_node(id);
  }

  void replace_quant(NodeId id) {
    const Node node = graph_.node(id);
    const std::string base = node.name + ".fakequant.";
    const int bits = bits_of_type(attr_string(node, "dst_type"));
    ValueId x = node.input(0);
    if (half_inputs_.contains(id)) {
      x = add(base + "cast", "cast", {x}, {{"to", static_cast<int64_t>(onnx_code(DType::kFloat32))}});
    }
    replace_by(id, add_fake_quant_chain(graph_, base, x,
                                        {.inverse_scale = static_cast<float>(attr_float(node, "scale")),
                                         .offset = static_cast<float>(attr_float(node, "offset")),
                                         .bits = bits}));
  }

  // A constant for every channel of a value of this rank: [1, C, 1…], or [1, 1] for all.
  static Tensor channel_constant(const std::vector<float>& values, size_t rank) {
    Dims dims(values.size() == 1 ? std::min<size_t>(rank, 2) : rank, 1);
    if (values.size() > 1) dims[1] = static_cast<int64_t>(values.size());
    return Tensor::of<float>(std::move(dims), values);
  }

  void replace_dequant(NodeId id) {
    const Node node = graph_.node(id);
    const Tensor* packed = graph_.constant(node.input(1));
    if (packed == nullptr) {
      throw Error(ErrorCode::kUnsupported, "its dequantization parameter is computed",
                  {.model = graph_.info.path, .node = node.name, .op = node.op});
    }
    std::vector<float> scales, powers;
    for (const uint64_t word : packed->values<uint64_t>()) {
      powers.push_back(std::ldexp(1.0f, static_cast<int>(word >> 40 & 0xff)));
      scales.push_back(std::bit_cast<float>(static_cast<uint32_t>(word)) * powers.back());
    }
    const bool ends = node.name.ends_with(".dequant");
    const std::string base = (ends ? node.name.substr(0, node.name.size() - 8) : node.name) + ".fakedequant.";
    const Shape& shape = graph_.value(node.input(0)).type.shape;
    if (!shape.ranked() && scales.size() > 1) {
      throw Error(ErrorCode::kUnsupported, "the rank of its input is not known", {.node = node.name, .op = node.op});
    }
    const size_t rank = shape.ranked() ? shape.rank() : 2;
    ValueId x = node.input(0);
    if (std::ranges::any_of(powers, [](float power) { return power != 1; })) {
      x = add(base + "div", "div", {x, graph_.add_constant(base + "power", channel_constant(powers, rank))});
      x = add(base + "floor", "floor", {x});
      x = add(base + "clip", "clip", {x, scalar(base + "min_val", -32768), scalar(base + "max_val", 32767)});
    }
    x = add(base + "mul", "mul", {x, graph_.add_constant(base + "dqscale", channel_constant(scales, rank))});
    if (attr_int(node, "dtype") == 1) {
      x = add(base + "cast", "cast", {x}, {{"to", static_cast<int64_t>(onnx_code(DType::kFloat16))}});
    }
    replace_by(id, x);
  }

  void replace_anti_quant(NodeId id) {
    const Node node = graph_.node(id);
    const std::string base = node.name + ".fakeantiquant.";
    const ValueId scale = scalar(base + "scale", static_cast<float>(attr_float(node, "scale")));
    ValueId x = add(base + "mul", "mul", {node.input(0), scale});
    if (attr_int(node, "dtype") == 1) {
      x = add(base + "cast", "cast", {x}, {{"to", static_cast<int64_t>(onnx_code(DType::kFloat16))}});
    }
    replace_by(id, x);
  }

  Graph graph_;
  std::unordered_set<NodeId> half_inputs_;  // quantizers of float16 data
  std::unordered_map<ValueId, ValueId> converted_;
};

}  // namespace

Graph ascend_to_fake_quant(const Graph& deploy) { return FakeQuantizer(deploy).run(); }

}  // namespace amct
