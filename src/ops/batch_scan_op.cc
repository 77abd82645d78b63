// Scan of opset 8 (ops/scan.h says what a scan does): once for every sample of a batch, whose axis comes first, along
// the second axis and up to the sample's length; what is beyond is zero.
#include <fmt/core.h>

#include <cstring>

#include "ops/scan.h"

namespace amct {
namespace {

// Without the batch axis, and for scanned inputs without the axis of slices.
Shape sample_shape(const InferContext& c, size_t port, bool scanned) {
  const Shape& shape = c.shape(port);
  const size_t lead = scanned ? 2 : 1;
  if (!shape.ranked()) return Shape();
  if (shape.rank() < lead) c.fail(fmt::format("input {} of rank {} has no axis to scan", port, shape.rank()));
  return Shape(std::vector<Dim>(shape.dims().begin() + static_cast<long>(lead), shape.dims().end()));
}

void infer_batch_scan(InferContext& c) {
  const Node& node = c.node();
  const auto body = subgraph_attr(node, "body");
  const ScanPorts ports = scan_ports(node, *body, 1);
  if (c.has(0) && c.dtype(0) != DType::kInt64 && c.dtype(0) != DType::kUndefined) {
    c.fail(fmt::format("the lengths are {}, not int64", name_of(c.dtype(0))));
  }
  const size_t last = 1 + ports.states + ports.scanned;
  Dim batch;
  std::vector<InferContext::Input> inputs;
  for (size_t port = 1; port < c.input_count(); ++port) {
    inputs.push_back(input_of(c, port));
    if (port >= last) continue;
    const bool scanned = port > ports.states;
    inputs.back() = {c.has(port), {c.dtype(port), sample_shape(c, port, scanned)}, nullptr};
    if (scanned) backwards(node, "directions", port - 1 - ports.states, ports.scanned);
    if (c.shape(port).ranked() && c.shape(port)[0].is_fixed()) {
      if (batch.is_fixed() && batch != c.shape(port)[0]) c.fail("inputs have different numbers of samples");
      batch = c.shape(port)[0];
    }
  }
  const Dim length = common_length(c, ports, 1 + ports.states, std::vector<size_t>(ports.scanned, 1));
  const SubgraphTypes outputs = infer_turns(c, *body, inputs, 0, 0, ports.states);
  for (size_t i = 0; i < ports.states + ports.collected; ++i) {
    const TensorType& type = i < ports.states ? inputs[i].type : outputs.types[i];
    if (!type.shape.ranked()) {
      c.set_output(i, type.dtype, Shape());
      continue;
    }
    std::vector<Dim> dims = {batch};
    if (i >= ports.states) dims.push_back(length);
    dims.insert(dims.end(), type.shape.dims().begin(), type.shape.dims().end());
    c.set_output(i, type.dtype, Shape(std::move(dims)));
  }
}

int64_t length_of_sample(const RunContext& c, int64_t sample, int64_t longest) {
  if (!c.has(0)) return longest;
  const TensorView& lengths = c.input(0);
  if (sample < lengths.size()) {
    const int64_t length = lengths.as<int64_t>()[sample];
    if (length >= 0 && length <= longest) return length;
  }
  throw Error(ErrorCode::kInput, fmt::format("the length of sample {} is not between 0 and {}", sample, longest),
              {.node = c.node().name, .op = c.node().op});
}

// The output as a whole, made by the first sample that has something to put into it.
MutableView batch_output(RunContext& c, std::vector<MutableView>& made, size_t port, const Tensor& part, Dims lead) {
  const size_t skipped = lead.size();
  if (!made[port]) {
    lead.insert(lead.end(), part.dims().begin(), part.dims().end());
    made[port] = c.allocate_output(port, part.dtype(), std::move(lead));
    if (made[port].bytes() > 0) std::memset(made[port].data, 0, made[port].bytes());
  }
  const Dims own(made[port].dims.begin() + static_cast<long>(skipped), made[port].dims.end());
  check_part(c, port, made[port].dtype, own, part);
  return made[port];
}

void run_batch_scan(RunContext& c) {
  const Node& node = c.node();
  const auto body = subgraph_attr(node, "body");
  const ScanPorts ports = scan_ports(node, *body, 1);
  const size_t first = 1 + ports.states;
  const int64_t batch = c.input(first).dims[0];
  const int64_t longest = common_length(c, ports, first, std::vector<size_t>(ports.scanned, 1));
  std::vector<MutableView> made(node.outputs.size());
  for (int64_t sample = 0; sample < batch; ++sample) {
    const int64_t length = length_of_sample(c, sample, longest);
    std::vector<Tensor> states;
    for (size_t i = 0; i < ports.states; ++i) states.push_back(take(c.input(1 + i), 0, sample));
    const auto slice = [&](size_t i, int64_t turn) {
      const bool back = backwards(node, "directions", i, ports.scanned);
      const Tensor whole = take(c.input(first + i), 0, sample);
      return take(whole.view(), 0, back ? length - 1 - turn : turn);
    };
    const Scanned done = turn_over(c, body, ports, std::move(states), length, slice);
    for (size_t port = 0; port < node.outputs.size(); ++port) {
      if (!node.output(port).valid()) continue;
      if (port < ports.states) {
        const Tensor& state = done.states[port];
        put(batch_output(c, made, port, state, {batch}), 0, sample, state);
        continue;
      }
      int64_t turn = 0;
      for (const Tensor& part : done.collected[port - ports.states]) {
        const MutableView to = batch_output(c, made, port, part, {batch, longest});
        const size_t bytes = part.bytes().size();
        if (bytes > 0) {
          std::memcpy(static_cast<std::byte*>(to.data) + static_cast<size_t>(sample * longest + turn) * bytes,
                      part.bytes().data(), bytes);
        }
        ++turn;
      }
    }
  }
  for (size_t port = 0; port < node.outputs.size(); ++port) {
    if (!node.output(port).valid() || made[port]) continue;
    if (!c.wants(port)) {
      throw Error(ErrorCode::kUnsupported, fmt::format("the extents of output {} are not known without a turn", port),
                  {.node = node.name, .op = node.op});
    }
    if (c.output(port).bytes() > 0) std::memset(c.output(port).data, 0, c.output(port).bytes());
  }
}

std::vector<Sample> samples() {
  const SampleInput w = random_input({3});
  const std::string reason = "opset 8 alone has it, and samples are written from opset 11 on";
  Sample lengths{.name = "lengths",
                 .inputs = {fixed_ints({2, 4}), random_input({2, 3}), random_input({2, 4, 3}), w},
                 .attrs = scan_sample_attrs(),
                 .outputs = 2,
                 .skip_onnx_runtime = true,
                 .reason = reason};
  lengths.attrs.set("directions", std::vector<int64_t>{1});
  return {{.name = "default",
           .inputs = {absent_input(), random_input({2, 3}), random_input({2, 4, 3}), w},
           .attrs = scan_sample_attrs(),
           .outputs = 2,
           .skip_onnx_runtime = true,
           .reason = reason},
          lengths};
}

}  // namespace

void add_batch_scan_op(OpTable& table) {
  table.add({
      .name = "batch_scan",
      .doc = "Scan of opset 8: runs a subgraph over the slices of every sample of a batch, up to its length.",
      .inputs = {{.name = "sequence_lens", .role = Role::kParameter, .optional = true},
                 {.name = "states_and_scan_inputs", .variadic = true}},
      .outputs = {{.name = "states_and_scan_outputs", .variadic = true}},
      .attrs = {required_attr("body", AttrType::kGraph), required_attr("num_scan_inputs", AttrType::kInt),
                ints_attr("directions"), int_attr(std::string(kCaptures), 0)},
      .infer = infer_batch_scan,
      .timing = ShapeTiming::kFromBody,
      .run = run_batch_scan,
      .quant = QuantRule::keep_float("its steps run in a subgraph"),
      .axes = axes_of_control_flow,
      .spellings = {onnx("Scan", 8, 8, import_scan, export_control_flow)},
      .samples = samples,
  });
}

}  // namespace amct
