// Scan of opset 9 and later (ops/scan.h says what it does): each x is cut along its own axis, forwards or backwards;
// each s is put together along its own.
#include <fmt/core.h>

#include "ops/scan.h"

namespace amct {
namespace {

size_t axis_in(const InferContext& c, const Node& node, std::string_view name, size_t index, size_t count,
               size_t rank) {
  const int64_t axis = entry(node, name, index, count);
  if (rank == 0) c.fail("a scanned value has no axes");
  return static_cast<size_t>(normalize_axis(axis, rank));
}

void infer_scan(InferContext& c) {
  const Node& node = c.node();
  const auto body = subgraph_attr(node, "body");
  const ScanPorts ports = scan_ports(node, *body, 0);
  std::vector<size_t> axes(ports.scanned, 0);
  std::vector<InferContext::Input> inputs;
  for (size_t port = 0; port < c.input_count(); ++port) inputs.push_back(input_of(c, port));
  for (size_t i = 0; i < ports.scanned; ++i) {
    InferContext::Input& input = inputs[ports.states + i];
    input.value = nullptr;
    if (input.type.shape.ranked()) {
      axes[i] = axis_in(c, node, "scan_input_axes", i, ports.scanned, input.type.shape.rank());
      input.type.shape = without_axis(input.type.shape, axes[i]);
    }
    backwards(node, "scan_input_directions", i, ports.scanned);
  }
  const Dim length = common_length(c, ports, ports.states, axes);
  const SubgraphTypes outputs = infer_turns(c, *body, inputs, 0, 0, ports.states);
  for (size_t i = 0; i < ports.states; ++i) c.set_output(i, inputs[i].type.dtype, inputs[i].type.shape);
  for (size_t i = 0; i < ports.collected; ++i) {
    const TensorType& slice = outputs.types[ports.states + i];
    backwards(node, "scan_output_directions", i, ports.collected);
    Shape shape;
    if (slice.shape.ranked()) {
      std::vector<Dim> dims = slice.shape.dims();
      const size_t axis = axis_in(c, node, "scan_output_axes", i, ports.collected, dims.size() + 1);
      dims.insert(dims.begin() + static_cast<long>(axis), length);
      shape = Shape(std::move(dims));
    }
    c.set_output(ports.states + i, slice.dtype, std::move(shape));
  }
}

// The type of a slice where there was no turn.
TensorType slice_type(const RunContext& c, const Graph& body, const ScanPorts& ports, const std::vector<size_t>& axes,
                      size_t index) {
  std::vector<InferContext::Input> inputs;
  for (size_t port = 0; port < c.input_count(); ++port) {
    inputs.push_back({true, {c.input(port).dtype, Shape::of(c.input(port).dims)}, nullptr});
    const bool scanned = port >= ports.states && port < ports.states + ports.scanned;
    if (scanned) inputs.back().type.shape = without_axis(inputs.back().type.shape, axes[port - ports.states]);
  }
  TensorType type = infer_subgraph(body, inputs).types[ports.states + index];
  if (!type.shape.is_fixed()) {
    throw Error(ErrorCode::kUnsupported, fmt::format("the extents of output {} are not known without a turn", index),
                {.node = c.node().name, .op = c.node().op});
  }
  return type;
}

void run_scan(RunContext& c) {
  const Node& node = c.node();
  const auto body = subgraph_attr(node, "body");
  const ScanPorts ports = scan_ports(node, *body, 0);
  std::vector<size_t> axes;
  for (size_t i = 0; i < ports.scanned; ++i) {
    const int64_t axis = entry(node, "scan_input_axes", i, ports.scanned);
    axes.push_back(static_cast<size_t>(normalize_axis(axis, c.input(ports.states + i).dims.size())));
  }
  const int64_t length = common_length(c, ports, ports.states, axes);
  std::vector<Tensor> states;
  for (size_t i = 0; i < ports.states; ++i) states.push_back(borrow(c.input(i)));
  const auto slice = [&](size_t i, int64_t turn) {
    const bool back = backwards(node, "scan_input_directions", i, ports.scanned);
    return take(c.input(ports.states + i), axes[i], back ? length - 1 - turn : turn);
  };
  const Scanned done = turn_over(c, body, ports, std::move(states), length, slice);
  for (size_t i = 0; i < ports.states; ++i) give_output(c, i, done.states[i].view());
  for (size_t i = 0; i < ports.collected; ++i) {
    const size_t port = ports.states + i;
    if (!node.output(port).valid()) continue;
    const std::vector<Tensor>& slices = done.collected[i];
    const TensorType type = slices.empty() ? slice_type(c, *body, ports, axes, i) : slices[0].type();
    Dims dims = *type.shape.fixed();
    const auto axis =
        static_cast<size_t>(normalize_axis(entry(node, "scan_output_axes", i, ports.collected), dims.size() + 1));
    dims.insert(dims.begin() + static_cast<long>(axis), length);
    const MutableView to = c.allocate_output(port, type.dtype, std::move(dims));
    const bool back = backwards(node, "scan_output_directions", i, ports.collected);
    for (int64_t turn = 0; turn < length; ++turn) {
      const Tensor& part = slices[static_cast<size_t>(turn)];
      check_part(c, port, type.dtype, slices[0].dims(), part);
      put(to, axis, back ? length - 1 - turn : turn, part);
    }
  }
}

std::vector<Sample> samples() {
  const SampleInput w = random_input({3});
  Sample turned{.name = "axes_and_directions",
                .inputs = {random_input({3}), random_input({3, 5}), w},
                .attrs = scan_sample_attrs(),
                .outputs = 2};
  turned.attrs.set("scan_input_axes", std::vector<int64_t>{-1});
  turned.attrs.set("scan_input_directions", std::vector<int64_t>{1});
  turned.attrs.set("scan_output_axes", std::vector<int64_t>{1});
  turned.attrs.set("scan_output_directions", std::vector<int64_t>{1});
  return {{.name = "default",
           .inputs = {random_input({3}), random_input({4, 3}), w},
           .attrs = scan_sample_attrs(),
           .outputs = 2},
          turned};
}

}  // namespace

void add_scan_op(OpTable& table) {
  table.add({
      .name = "scan",
      .doc = "Runs a subgraph over the slices of its inputs; values go from slice to slice, results are collected.",
      .inputs = {{.name = "states_and_scan_inputs", .variadic = true}},
      .outputs = {{.name = "states_and_scan_outputs", .variadic = true}},
      .attrs = {required_attr("body", AttrType::kGraph), required_attr("num_scan_inputs", AttrType::kInt),
                ints_attr("scan_input_axes"), ints_attr("scan_input_directions"), ints_attr("scan_output_axes"),
                ints_attr("scan_output_directions"), int_attr(std::string(kCaptures), 0)},
      .infer = infer_scan,
      .timing = ShapeTiming::kFromBody,
      .run = run_scan,
      .quant = QuantRule::keep_float("its steps run in a subgraph"),
      .axes = axes_of_control_flow,
      .spellings = {onnx("Scan", 9, kAllVersions, import_scan, export_control_flow)},
      .samples = samples,
  });
}

}  // namespace amct
