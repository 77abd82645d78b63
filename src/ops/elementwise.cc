#include "ops/elementwise.h"

#include <fmt/core.h>

#include <algorithm>

namespace amct {
namespace {

constexpr int64_t kNumpyBroadcastOpset = 7;

// Rank of a value while its graph is being imported: declared, or inferred from what stands before it.
std::optional<size_t> known_rank(const Graph& graph, ValueId id) {
  const Shape& declared = graph.value(id).type.shape;
  if (declared.ranked()) return declared.rank();
  const InferredTypes inferred = infer_types(graph);
  const Shape& shape = inferred.types[id.index].shape;
  return shape.ranked() ? std::optional(shape.rank()) : std::nullopt;
}

// Appends axes of extent 1 to the second operand, so that its first axis meets `axis` of the first.
ValueId align_operand(ImportContext& c, ValueId a, ValueId b, int64_t axis) {
  const auto rank_a = known_rank(c.graph(), a);
  const auto rank_b = known_rank(c.graph(), b);
  if (!rank_a || !rank_b) c.unsupported("broadcasting along an axis needs the ranks of both inputs");
  const int64_t first = normalize_axis(axis, *rank_a);
  const int64_t behind = static_cast<int64_t>(*rank_a) - first - static_cast<int64_t>(*rank_b);
  if (behind < 0) c.fail(fmt::format("a second input of rank {} does not fit at axis {}", *rank_b, axis));
  if (behind == 0) return b;
  if (const Tensor* constant = c.graph().constant(b)) {
    Dims dims = constant->dims();
    dims.insert(dims.end(), static_cast<size_t>(behind), 1);
    return c.constant("aligned", constant->reshaped(std::move(dims)));
  }
  const OpRow* unsqueeze = op_table().find("unsqueeze");
  if (unsqueeze == nullptr) c.unsupported("broadcasting a computed input along an axis");
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < behind; ++i) axes.push_back(static_cast<int64_t>(*rank_b) + i);
  const ValueId axes_value = c.ints_constant("aligned_axes", axes);
  const std::string name = c.graph().fresh_node_name(c.foreign().name + ".aligned");
  const NodeId node = c.graph().add_node(name, unsqueeze->name, unsqueeze, {b, axes_value}, {name});
  return c.graph().node(node).output();
}

void import_axis_broadcast(ImportContext& c) {
  for (const auto& [name, value] : c.attrs().items()) {
    if (name != "axis" && name != "broadcast" && name != "consumed_inputs") {
      c.unsupported(fmt::format("attribute '{}' is not known", name));
    }
  }
  std::vector<ValueId> inputs = c.foreign().inputs;
  if (inputs.size() != 2) c.fail(fmt::format("{} inputs instead of 2", inputs.size()));
  const bool broadcasts = c.attrs().get<int64_t>("broadcast", 0) != 0;
  if (broadcasts && c.attrs().has("axis")) {
    inputs[1] = align_operand(c, inputs[0], inputs[1], c.attrs().require<int64_t>("axis"));
  }
  c.add(std::move(inputs), {});
}

void export_axis_broadcast(ExportContext& c) {
  const auto a = c.graph().value(c.node().input(0)).type.shape.fixed();
  const auto b = c.graph().value(c.node().input(1)).type.shape.fixed();
  const bool fits = a && b && b->size() <= a->size() && std::equal(b->rbegin(), b->rend(), a->rbegin());
  if (!fits) {
    c.unsupported(
        fmt::format("opset {} cannot say how its inputs broadcast; opset {} can", c.version(), kNumpyBroadcastOpset));
  }
  Attrs attrs;
  if (*a != *b) attrs.set("broadcast", int64_t{1});
  c.emit({c.value_name(c.node().input(0)), c.value_name(c.node().input(1))}, std::move(attrs));
}

}  // namespace

BroadcastPlan plan_inputs(const RunContext& c, const std::vector<size_t>& ports) {
  std::vector<Dims> operands;
  for (const size_t port : ports) operands.push_back(c.input(port).dims);
  return plan_broadcast(c.output(0).dims, operands);
}

void run_float_binary(const BroadcastPlan& plan, FloatBinary function, const float* a, const float* b, float* out) {
  for_each_plane(plan, [&](int64_t at, const BroadcastOffsets& offsets) {
    float_binary(function, {a + offsets[0], plan.row_stride(0), plan.col_stride(0)},
                 {b + offsets[1], plan.row_stride(1), plan.col_stride(1)}, out + at, plan.rows(), plan.cols());
  });
}

std::vector<AxisRelation> axes_all_outputs(const AxesContext& c) {
  std::vector<AxisRelation> relations = axes_elementwise(c);
  if (!c.node().output(1).valid()) return relations;
  for (AxisRelation& relation : relations) relation.refs.push_back(out_axis(1, relation.refs.back().axis));
  return relations;
}

std::optional<Epilogue> absorb_addition(const AbsorbQuery& q) {
  if (q.node.inputs.size() != 2 || q.through > 1) return std::nullopt;
  const ValueId other = q.node.input(1 - q.through);
  if (other == q.node.input(q.through) || q.graph.constant(other) != nullptr) return std::nullopt;
  // A reference into the executor's table may not outlive the next question.
  const Dims extents = q.dims(other);
  if (extents != q.dims(q.node.input(q.through))) return std::nullopt;
  return Epilogue{.kind = Epilogue::Kind::kAdd, .operand = other};
}

Sample unary_sample(std::string name, Dims dims, double low, double high, DType dtype, Attrs attrs) {
  return {
      .name = std::move(name), .inputs = {random_input(std::move(dims), low, high, dtype)}, .attrs = std::move(attrs)};
}

Sample binary_sample(std::string name, Dims a, Dims b, double low, double high, DType dtype, Attrs attrs) {
  return {.name = std::move(name),
          .inputs = {random_input(std::move(a), low, high, dtype), random_input(std::move(b), low, high, dtype)},
          .attrs = std::move(attrs)};
}

Sample skip_in_onnx_runtime(Sample sample, std::string reason) {
  sample.skip_onnx_runtime = true;
  sample.reason = std::move(reason);
  return sample;
}

std::vector<Sample> float_samples(double low, double high, Attrs attrs) {
  return {unary_sample("image", {2, 5, 3, 7}, low, high, DType::kFloat32, attrs),
          unary_sample("matrix", {3, 37}, low, high, DType::kFloat32, attrs),
          unary_sample("scalar", {}, low, high, DType::kFloat32, attrs),
          unary_sample("empty", {2, 0, 3}, low, high, DType::kFloat32, attrs),
          unary_sample("float16", {2, 3, 5}, low, high, DType::kFloat16, attrs),
          unary_sample("float64", {3, 2, 5}, low, high, DType::kFloat64, attrs)};
}

std::vector<Spelling> onnx_since(std::string type, int64_t since) {
  Spelling spelling = onnx(std::move(type), since);
  if (since < 6) spelling.ignored_attrs = {"consumed_inputs"};
  return {spelling};
}

std::vector<Spelling> onnx_broadcasting(std::string type) {
  Spelling old = onnx(type, 1, kNumpyBroadcastOpset - 1, import_axis_broadcast, export_axis_broadcast);
  return {old, onnx(std::move(type), kNumpyBroadcastOpset)};
}

}  // namespace amct
