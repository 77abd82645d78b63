// If: one of two subgraphs, by a condition. Both take the captures and nothing else (ops/subgraph.h).
//
// Where the condition is known, types and values are those of its branch; else what both branches agree on. A branch
// may be impossible for the extents at hand, where the condition guards against them: then the other one counts.
#include <fmt/core.h>

#include <optional>

#include "ops/control_flow.h"
#include "ops/input_checks.h"

namespace amct {
namespace {

constexpr const char* kThen = "then_branch";
constexpr const char* kElse = "else_branch";

SubgraphTypes infer_branch(const InferContext& c, std::string_view attr) {
  const auto graph = subgraph_attr(c.node(), attr);
  std::vector<InferContext::Input> inputs;
  for (size_t port = 1; port < c.input_count(); ++port) inputs.push_back(input_of(c, port));
  return infer_subgraph(*graph, inputs);
}

void infer_if(InferContext& c) {
  if (capture_count(c.node()) + 1 != c.input_count()) c.fail("only a condition and captures may go in");
  for (const char* attr : {kThen, kElse}) {
    check_ports(c, *subgraph_attr(c.node(), attr), attr, c.input_count() - 1, c.output_count());
  }
  expect_type(c, 0, is_bool_type);
  expect_single(c, 0);
  if (const Tensor* cond = c.value(0); cond != nullptr && *cond) {
    const SubgraphTypes taken = infer_branch(c, cond->to_int64s().at(0) != 0 ? kThen : kElse);
    for (size_t port = 0; port < c.output_count(); ++port) {
      c.set_output(port, taken.types[port].dtype, taken.types[port].shape);
      c.set_output_value(port, taken.values[port]);
    }
    return;
  }
  std::optional<Error> impossible;
  std::vector<SubgraphTypes> possible;
  for (const char* attr : {kThen, kElse}) {
    try {
      possible.push_back(infer_branch(c, attr));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInput) throw;
      impossible = error;
    }
  }
  if (possible.empty()) throw Error(*impossible);
  const SubgraphTypes& then_types = possible.front();
  const SubgraphTypes& else_types = possible.back();
  for (size_t port = 0; port < c.output_count(); ++port) {
    const TensorType& a = then_types.types[port];
    const TensorType& b = else_types.types[port];
    if (a.dtype != DType::kUndefined && b.dtype != DType::kUndefined && a.dtype != b.dtype) {
      c.fail(
          fmt::format("output {} is {} in one branch and {} in the other", port, name_of(a.dtype), name_of(b.dtype)));
    }
    c.set_output(port, a.dtype != DType::kUndefined ? a.dtype : b.dtype, join(a.shape, b.shape));
  }
}

void run_if(RunContext& c) {
  std::vector<Tensor> inputs;
  append_captures(c, inputs);
  const bool taken = single_bool(c, c.input(0), "the condition");
  const std::vector<Tensor> results = c.run_graph(subgraph_attr(c.node(), taken ? kThen : kElse), inputs);
  for (size_t port = 0; port < results.size(); ++port) give_output(c, port, results[port].view());
}

void import_if(ImportContext& c) { import_control_flow(c, 1); }

// x + y, or -x.
Attrs sample_branches(bool same_extents) {
  const auto branch = [&](std::string_view op) {
    auto graph = std::make_shared<Graph>();
    const ValueId x = graph->add_input("x", {DType::kFloat32, Shape::of({2, 3})});
    const ValueId y = graph->add_input("y", {DType::kFloat32, Shape::of({5, 2, 3})});
    std::vector<ValueId> inputs = {x};
    if (op == "add") inputs.push_back(same_extents ? x : y);
    const NodeId node = add_op(*graph, op, op, inputs);
    graph->set_outputs({graph->node(node).output()});
    return graph;
  };
  return {{kThen, branch("add")}, {kElse, branch("neg")}, {std::string(kCaptures), int64_t{2}}};
}

std::vector<Sample> samples() {
  const SampleInput yes = fixed(bool_tensor(true));
  const SampleInput no = fixed(bool_tensor(false, {1}));
  const SampleInput x = random_input({2, 3});
  const SampleInput y = random_input({5, 2, 3});
  Sample by_value{.name = "by_value", .inputs = {random_input({}, 0, 1, DType::kBool), x, y}};
  by_value.attrs = sample_branches(true);
  return {{.name = "then", .inputs = {yes, x, y}, .attrs = sample_branches(false)},
          {.name = "else", .inputs = {no, x, y}, .attrs = sample_branches(false)},
          by_value};
}

}  // namespace

void add_if_op(OpTable& table) {
  table.add({
      .name = "if",
      .doc = "Runs one of two subgraphs.",
      .inputs = {{"cond", Role::kParameter}, {.name = "captures", .optional = true, .variadic = true}},
      .outputs = {{.name = "outputs", .variadic = true}},
      .attrs = {required_attr(kThen, AttrType::kGraph), required_attr(kElse, AttrType::kGraph),
                int_attr(std::string(kCaptures), 0)},
      .infer = infer_if,
      .timing = ShapeTiming::kFromBody,
      .run = run_if,
      .quant = QuantRule::keep_float("what it computes is decided at run time"),
      .axes = axes_of_control_flow,
      .spellings = {onnx("If", 1, kAllVersions, import_if, export_control_flow)},
      .samples = samples,
  });
}

}  // namespace amct
