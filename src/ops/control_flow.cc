#include "ops/control_flow.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

namespace amct {
namespace {

// Dims first, then the rank: whatever the body does, it is stable after these two steps.
constexpr int kGeneralisations = 2;

const char* const kLocked = "a subgraph reads or computes it";

}  // namespace

std::shared_ptr<const Graph> subgraph_attr(const Node& node, std::string_view name) {
  auto graph = node.attrs.require<std::shared_ptr<const Graph>>(name);
  AMCT_CHECK(graph != nullptr, "a graph attribute without a graph");
  return graph;
}

InferContext::Input input_of(const InferContext& c, size_t port) { return {c.has(port), c.type(port), c.value(port)}; }

SubgraphTypes infer_subgraph(const Graph& graph, const std::vector<InferContext::Input>& inputs) {
  AMCT_CHECK(inputs.size() == graph.inputs().size(), "as many types as the subgraph has inputs");
  std::unordered_map<ValueId, TensorType> types;
  std::unordered_map<ValueId, Tensor> known;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = graph.inputs()[i];
    types[id] = inputs[i].type;
    if (inputs[i].type.dtype == DType::kUndefined) types[id].dtype = graph.value(id).type.dtype;
    if (inputs[i].value != nullptr && *inputs[i].value) known[id] = *inputs[i].value;
  }
  InferredTypes inferred = infer_types(graph, types, known);
  SubgraphTypes result;
  for (const ValueId id : graph.outputs()) {
    result.types.push_back(inferred.types[id.index]);
    if (inferred.hinted[id.index]) result.types.back().shape = Shape();
    result.values.push_back(inferred.values[id.index]);
  }
  return result;
}

Shape join(const Shape& a, const Shape& b) {
  if (!a.ranked() || !b.ranked() || a.rank() != b.rank()) return Shape();
  Shape result = a;
  for (size_t axis = 0; axis < a.rank(); ++axis) {
    if (a[axis] != b[axis]) result[axis] = Dim();
  }
  return result;
}

SubgraphTypes infer_turns(const InferContext& c, const Graph& body, std::vector<InferContext::Input>& inputs,
                          size_t first_in, size_t first_out, size_t count) {
  for (size_t i = 0; i < count; ++i) inputs[first_in + i].value = nullptr;
  for (int step = 0;; ++step) {
    SubgraphTypes outputs = infer_subgraph(body, inputs);
    bool stable = true;
    for (size_t i = 0; i < count; ++i) {
      TensorType& before = inputs[first_in + i].type;
      const TensorType& after = outputs.types[first_out + i];
      if (before.dtype == DType::kUndefined) before.dtype = after.dtype;
      if (after.dtype != DType::kUndefined && after.dtype != before.dtype) {
        c.fail(fmt::format("carried value {} starts as {} and goes on as {}", i, name_of(before.dtype),
                           name_of(after.dtype)));
      }
      const Shape both = join(before.shape, after.shape);
      if (both == before.shape) continue;
      stable = false;
      before.shape = both;
    }
    if (stable) return outputs;
    for (size_t i = 0; i < count && step == kGeneralisations - 1; ++i) inputs[first_in + i].type.shape = Shape();
  }
}

void check_ports(const InferContext& c, const Graph& graph, std::string_view attr, size_t inputs, size_t outputs) {
  if (graph.inputs().size() == inputs && graph.outputs().size() == outputs) return;
  c.fail(fmt::format("graph '{}' has {} inputs and {} outputs where {} and {} are expected", attr,
                     graph.inputs().size(), graph.outputs().size(), inputs, outputs));
}

void append_captures(const RunContext& c, std::vector<Tensor>& inputs) {
  for (size_t port = c.input_count() - capture_count(c.node()); port < c.input_count(); ++port) {
    inputs.push_back(borrow(c.input(port)));
  }
}

void give_output(RunContext& c, size_t port, const TensorView& result) {
  if (!c.node().output(port).valid()) return;
  const MutableView to = c.allocate_output(port, result.dtype, result.dims);
  if (result.bytes() > 0) std::memcpy(to.data, result.data, result.bytes());
}

void check_part(const RunContext& c, size_t port, DType dtype, const Dims& dims, const Tensor& part) {
  if (part.dims() == dims && part.dtype() == dtype) return;
  throw Error(ErrorCode::kInput,
              fmt::format("output {} is collected from {} and {}", port, to_string(dims), to_string(part.dims())),
              {.node = c.node().name, .op = c.node().op});
}

Tensor bool_tensor(bool value, const Dims& dims) {
  Tensor tensor = Tensor::allocate(DType::kBool, dims);
  std::ranges::fill(tensor.mutable_values<bool>(), value);
  return tensor;
}

bool single_bool(const RunContext& c, const TensorView& view, std::string_view what) {
  if (view.dtype == DType::kBool && view.size() == 1) return *view.as<bool>();
  throw Error(ErrorCode::kInput,
              fmt::format("{} is {} {}, not one bool", what, name_of(view.dtype), to_string(view.dims)),
              {.node = c.node().name, .op = c.node().op});
}

int64_t single_int(const RunContext& c, const TensorView& view, std::string_view what) {
  if (view.dtype == DType::kInt64 && view.size() == 1) return *view.as<int64_t>();
  throw Error(ErrorCode::kInput,
              fmt::format("{} is {} {}, not one int64", what, name_of(view.dtype), to_string(view.dims)),
              {.node = c.node().name, .op = c.node().op});
}

void import_control_flow(ImportContext& c, size_t formal) {
  std::vector<ValueId> inputs = c.foreign().inputs;
  if (inputs.size() < formal) inputs.resize(formal, kNoValue);
  inputs.insert(inputs.end(), c.foreign().captures.begin(), c.foreign().captures.end());
  Attrs attrs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
    attrs.set(name, value);
  }
  attrs.set(kCaptures, static_cast<int64_t>(c.foreign().captures.size()));
  c.add(std::move(inputs), std::move(attrs));
}

void export_control_flow(ExportContext& c) {
  const Node& node = c.node();
  std::vector<std::string> inputs;
  for (size_t port = 0; port < node.inputs.size() - capture_count(node); ++port) {
    inputs.push_back(c.value_name(node.inputs[port]));
  }
  Attrs attrs = node.attrs;
  attrs.erase(kCaptures);
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<AxisRelation> axes_of_control_flow(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  for (size_t port = 0; port < c.input_count(); ++port) {
    for (size_t axis = 0; axis < c.input(port).size(); ++axis) relations.push_back(lock(in_axis(port, axis), kLocked));
  }
  for (size_t port = 0; port < c.output_count(); ++port) {
    for (size_t axis = 0; axis < c.output(port).size(); ++axis) {
      relations.push_back(lock(out_axis(port, axis), kLocked));
    }
  }
  return relations;
}

}  // namespace amct
