#include "passes/quantize/attach_quant_offset.h"

#include <fmt/core.h>

#include <unordered_map>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/op_row.h"

namespace amct {
namespace {

class Attacher {
 public:
  explicit Attacher(Graph& graph) : graph_(graph) {}

  int run() {
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      if (node.op == "ascend_quant") {
        offsets_[node.output()] = static_cast<int64_t>(attr_float(node, "offset"));
        quantized_ = true;
      } else if (const auto offset = offset_of_inputs(node)) {
        visit(id, *offset);
      }
    }
    if (quantized_) widen_bias_constants();
    return attached_;
  }

 private:
  // The offset that the integers entering a node hold; all of them must hold the same.
  std::optional<int64_t> offset_of_inputs(const Node& node) const {
    std::optional<int64_t> offset;
    for (const ValueId input : node.inputs) {
      const auto at = offsets_.find(input);
      if (at == offsets_.end()) continue;
      if (offset && *offset != at->second) fail(node, "quantized inputs with different offsets");
      offset = at->second;
    }
    return offset;
  }

  [[noreturn]] void fail(const Node& node, std::string_view what) const {
    throw Error(ErrorCode::kUnsupported, fmt::format("{}: cannot be executed in integers", what),
                {.model = graph_.info.path, .node = node.name, .op = node.op});
  }

  void visit(NodeId id, int64_t offset) {
    Node& node = graph_.node(id);
    if (node.op == "ascend_dequant" || node.op == "ascend_anti_quant") return;
    if (node.is_opaque()) return;  // it runs nowhere, and nothing behind it
    if (node.row->attr("x_offset") != nullptr) {
      if (offset != 0) node.attrs.set("x_offset", offset);
      ++attached_;
      return;
    }
    const QuantRule::Kind kind = node.row->quant.kind();
    if (node.op == "pad") {
      const DType dtype = graph_.value(node.input(0)).type.dtype;
      const Tensor value = Tensor::scalar<int64_t>(offset).cast(dtype == DType::kUndefined ? DType::kInt8 : dtype);
      graph_.set_input(id, 2, graph_.add_constant(node.name + ".zero", value));
    } else if (kind != QuantRule::Kind::kPassThrough && kind != QuantRule::Kind::kSameScaleAll && offset != 0) {
      fail(node, "quantized integers with an offset enter it");
    }
    for (const ValueId output : graph_.node(id).outputs) {
      if (output.valid()) offsets_[output] = offset;
    }
  }

  // An Add of int64 sums and an int32 bias: both must have the wider type.
  void widen_bias_constants() {
    const InferredTypes types = infer_types(graph_);
    for (const NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      if (node.op != "add" || node.inputs.size() != 2) continue;
      for (size_t port = 0; port < 2; ++port) {
        const Tensor* constant = graph_.constant(node.input(port));
        if (constant == nullptr || constant->dtype() != DType::kInt32) continue;
        if (types.types[node.input(1 - port).index].dtype != DType::kInt64) continue;
        graph_.set_input(id, port, graph_.add_constant(node.name + ".wide", constant->cast(DType::kInt64)));
      }
    }
  }

  Graph& graph_;
  std::unordered_map<ValueId, int64_t> offsets_;
  bool quantized_ = false;
  int attached_ = 0;
};

}  // namespace

int attach_quant_offset(Graph& graph) { return Attacher(graph).run(); }

}  // namespace amct
