// Loop: a subgraph that runs until a count or a condition ends it.
//
//   inputs   M, cond, v_1 … v_n, captures            body   (turn, cond, v_1 … v_n, captures)
//   outputs  v_1 … v_n, s_1 … s_k                       -> (cond, v_1 … v_n, s_1 … s_k)
//
// A v goes from turn to turn; an s is collected over the turns, along a new first axis. M and cond may be absent. How
// often a loop turns is known beforehand if M is and the body's condition stays true.
#include <fmt/core.h>

#include <cstring>
#include <optional>

#include "base/checked_math.h"
#include "ops/control_flow.h"
#include "ops/input_checks.h"

namespace amct {
namespace {

struct Ports {
  size_t carried = 0;
  size_t collected = 0;
};

// Throws Error(kInput) if the numbers of inputs and outputs contradict each other.
Ports ports_of(const Node& node, const Graph& body) {
  const size_t captures = capture_count(node);
  const size_t fixed = 2 + captures;
  Ports ports;
  const bool enough = node.inputs.size() >= fixed && body.outputs().size() + fixed > node.inputs.size();
  if (enough) {
    ports.carried = node.inputs.size() - fixed;
    ports.collected = body.outputs().size() - 1 - ports.carried;
  }
  if (!enough || body.inputs().size() != node.inputs.size() || node.outputs.size() > ports.carried + ports.collected) {
    throw Error(ErrorCode::kInput,
                fmt::format("a body of {} inputs and {} outputs does not fit a loop of {} and {}", body.inputs().size(),
                            body.outputs().size(), node.inputs.size(), node.outputs.size()),
                {.node = node.name, .op = node.op});
  }
  return ports;
}

// The turn's number and the condition are scalars; bodies that declare one element get that.
Dims scalar_dims(const Graph& body, size_t input) {
  const Shape& declared = body.value(body.inputs()[input]).type.shape;
  return declared.ranked() && declared.rank() == 1 ? Dims{1} : Dims{};
}

std::optional<int64_t> known_int(const InferContext& c, size_t port) {
  const Tensor* value = c.value(port);
  return value != nullptr && *value ? std::optional(value->to_int64s().at(0)) : std::nullopt;
}

void infer_loop(InferContext& c) {
  const auto body = subgraph_attr(c.node(), "body");
  const Ports ports = ports_of(c.node(), *body);
  expect_type(c, 0, [](DType dtype) { return dtype == DType::kInt64; });
  expect_type(c, 1, is_bool_type);
  for (const size_t port : {0, 1}) expect_single(c, port);
  const std::optional<int64_t> count = known_int(c, 0);
  const std::optional<int64_t> cond = c.has(1) ? known_int(c, 1) : std::optional<int64_t>(1);

  const Dims cond_dims = scalar_dims(*body, 1);
  const Tensor yes = bool_tensor(true, cond_dims);
  std::vector<InferContext::Input> inputs = {{true, {DType::kInt64, Shape::of(scalar_dims(*body, 0))}, nullptr},
                                             {true, {DType::kBool, Shape::of(cond_dims)}, cond == 1 ? &yes : nullptr}};
  for (size_t port = 2; port < c.input_count(); ++port) inputs.push_back(input_of(c, port));
  const SubgraphTypes outputs = infer_turns(c, *body, inputs, 2, 1, ports.carried);

  const bool stays_true = cond == 1 && outputs.values[0] && outputs.values[0].to_int64s().at(0) != 0;
  if (stays_true && !c.has(0)) c.fail("the loop never ends: it has no trip count, and its condition stays true");
  std::optional<int64_t> turns;
  if (count && stays_true) turns = std::max<int64_t>(*count, 0);
  if (cond == 0 || (count && *count <= 0)) turns = 0;
  for (size_t i = 0; i < ports.carried; ++i) {
    const TensorType& type = turns == 0 ? c.type(2 + i) : inputs[2 + i].type;
    c.set_output(i, type.dtype, type.shape);
    if (const Tensor* value = c.value(2 + i); turns == 0 && value != nullptr) c.set_output_value(i, *value);
  }
  for (size_t i = 0; i < ports.collected; ++i) {
    const TensorType& element = outputs.types[1 + ports.carried + i];
    if (!element.shape.ranked()) {
      c.set_output(ports.carried + i, element.dtype, Shape());
      continue;
    }
    std::vector<Dim> dims = {turns ? Dim(*turns) : Dim()};
    for (const Dim& dim : element.shape.dims()) dims.push_back(dim);
    c.set_output(ports.carried + i, element.dtype, Shape(std::move(dims)));
  }
}

// What a loop that did not turn collects: nothing, of the extents that the body would have given (0 where they are
// not known).
void give_empty(RunContext& c, const Graph& body, const std::vector<Tensor>& inputs, const Ports& ports) {
  std::vector<InferContext::Input> types;
  for (const Tensor& input : inputs) {
    types.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, nullptr});
  }
  const SubgraphTypes outputs = infer_subgraph(body, types);
  for (size_t i = 0; i < ports.collected; ++i) {
    const TensorType& element = outputs.types[1 + ports.carried + i];
    const size_t port = ports.carried + i;
    if (c.wants(port)) continue;  // planned, and empty
    Dims dims = {0};
    for (size_t axis = 0; element.shape.ranked() && axis < element.shape.rank(); ++axis) {
      dims.push_back(element.shape[axis].is_fixed() ? element.shape[axis].extent() : 0);
    }
    if (element_bytes(element.dtype) == 0) {
      throw Error(ErrorCode::kUnsupported, fmt::format("the type of output {} is not known without a turn", port),
                  {.node = c.node().name, .op = c.node().op});
    }
    if (c.node().output(port).valid()) c.allocate_output(port, element.dtype, std::move(dims));
  }
}

void give_collected(RunContext& c, size_t port, const std::vector<Tensor>& parts) {
  if (!c.node().output(port).valid()) return;
  Dims dims = {static_cast<int64_t>(parts.size())};
  dims.insert(dims.end(), parts[0].dims().begin(), parts[0].dims().end());
  const MutableView to = c.allocate_output(port, parts[0].dtype(), std::move(dims));
  auto* out = static_cast<std::byte*>(to.data);
  for (const Tensor& part : parts) {
    check_part(c, port, parts[0].dtype(), parts[0].dims(), part);
    if (part.bytes().empty()) continue;
    std::memcpy(out, part.bytes().data(), part.bytes().size());
    out += part.bytes().size();
  }
}

void run_loop(RunContext& c) {
  const auto body = subgraph_attr(c.node(), "body");
  const Ports ports = ports_of(c.node(), *body);
  const int64_t count = c.has(0) ? single_int(c, c.input(0), "the trip count") : INT64_MAX;
  bool go_on = !c.has(1) || single_bool(c, c.input(1), "the condition");
  const Dims turn_dims = scalar_dims(*body, 0);
  const Dims cond_dims = scalar_dims(*body, 1);
  std::vector<Tensor> inputs(2);
  for (size_t i = 0; i < ports.carried; ++i) inputs.push_back(borrow(c.input(2 + i)));
  append_captures(c, inputs);
  std::vector<std::vector<Tensor>> collected(ports.collected);
  int64_t turn = 0;
  for (; go_on && turn < count; ++turn) {
    inputs[0] = Tensor::of<int64_t>(turn_dims, {turn});
    inputs[1] = bool_tensor(true, cond_dims);
    std::vector<Tensor> results = c.run_graph(body, inputs);
    go_on = single_bool(c, results[0].view(), "the condition that the body computes");
    for (size_t i = 0; i < ports.carried; ++i) inputs[2 + i] = std::move(results[1 + i]);
    for (size_t i = 0; i < ports.collected; ++i) collected[i].push_back(std::move(results[1 + ports.carried + i]));
  }
  for (size_t i = 0; i < ports.carried; ++i) give_output(c, i, inputs[2 + i].view());
  if (turn == 0) {
    inputs[0] = Tensor::of<int64_t>(turn_dims, {0});
    inputs[1] = bool_tensor(true, cond_dims);
    return give_empty(c, *body, inputs, ports);
  }
  for (size_t i = 0; i < ports.collected; ++i) give_collected(c, ports.carried + i, collected[i]);
}

void import_loop(ImportContext& c) { import_control_flow(c, 2); }

// A running sum of x * w, collected; ends early where the sum's first element passes 4 if `by_condition`.
Attrs sample_body(bool by_condition) {
  auto body = std::make_shared<Graph>();
  body->add_input("turn", {DType::kInt64, Shape::of({})});
  const ValueId cond = body->add_input("go_on", {DType::kBool, Shape::of({})});
  const ValueId sum = body->add_input("sum", {DType::kFloat32, Shape::of({3})});
  const ValueId w = body->add_input("w", {DType::kFloat32, Shape::of({3})});
  const auto result = [&](NodeId id) { return body->node(id).output(); };
  const ValueId next = result(add_op(*body, "next", "add", {sum, w}));
  const ValueId twice = result(add_op(*body, "twice", "mul", {next, next}));
  ValueId again = result(add_op(*body, "again", "identity", {cond}));
  if (by_condition) {
    const ValueId limit = body->add_constant("limit", Tensor::scalar(4.0f));
    const ValueId axes = body->add_constant("axes", Tensor::of<int64_t>({1}, {0}));
    const ValueId largest = result(add_op(*body, "largest", "reduce_max", {sum, axes}, {{"keepdims", int64_t{0}}}));
    again = result(add_op(*body, "small", "less", {largest, limit}));
  }
  body->set_outputs({again, next, twice});
  return {{"body", std::shared_ptr<const Graph>(body)}, {std::string(kCaptures), int64_t{1}}};
}

std::vector<Sample> samples() {
  const auto count = [](int64_t turns) { return fixed(Tensor::scalar(turns)); };
  const SampleInput x = random_input({3});
  const SampleInput w = random_input({3}, 1, 2);
  const SampleInput yes = fixed(bool_tensor(true));
  return {
      {.name = "count", .inputs = {count(4), absent_input(), x, w}, .attrs = sample_body(false), .outputs = 2},
      {.name = "count_and_cond", .inputs = {count(100), yes, x, w}, .attrs = sample_body(true), .outputs = 2},
      {.name = "while", .inputs = {absent_input(), yes, x, w}, .attrs = sample_body(true), .outputs = 2},
      {.name = "no_turn", .inputs = {count(0), absent_input(), x, w}, .attrs = sample_body(false), .outputs = 2},
      {.name = "not_begun",
       .inputs = {count(3), fixed(bool_tensor(false)), x, w},
       .attrs = sample_body(false),
       .outputs = 2},
  };
}

}  // namespace

void add_loop_op(OpTable& table) {
  table.add({
      .name = "loop",
      .doc = "Runs a subgraph again and again; values go from turn to turn, results are collected.",
      .inputs = {{.name = "M", .role = Role::kShape, .optional = true},
                 {.name = "cond", .role = Role::kParameter, .optional = true},
                 {.name = "v_initial", .optional = true, .variadic = true}},
      .outputs = {{.name = "v_final_and_scan_outputs", .variadic = true}},
      .attrs = {required_attr("body", AttrType::kGraph), int_attr(std::string(kCaptures), 0)},
      .infer = infer_loop,
      .timing = ShapeTiming::kFromBody,
      .run = run_loop,
      .quant = QuantRule::keep_float("what it computes is decided at run time"),
      .axes = axes_of_control_flow,
      .spellings = {onnx("Loop", 1, kAllVersions, import_loop, export_control_flow)},
      .samples = samples,
  });
}

}  // namespace amct
