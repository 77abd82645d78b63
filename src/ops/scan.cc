#include "ops/scan.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

namespace amct {
namespace {

// An array seen from one axis: `outer` runs of `extent` slices of `inner` bytes.
struct Slices {
  int64_t outer = 1, extent = 1, inner = 1;
  Slices(const Dims& dims, size_t axis, DType dtype) : extent(dims[axis]) {
    for (size_t i = 0; i < axis; ++i) outer *= dims[i];
    for (size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
    inner *= static_cast<int64_t>(element_bytes(dtype));
  }
};

// sum <- sum + x + w; collects sum * x.
std::shared_ptr<const Graph> sample_body() {
  auto body = std::make_shared<Graph>();
  const ValueId sum = body->add_input("sum", {DType::kFloat32, Shape::of({3})});
  const ValueId x = body->add_input("x", {DType::kFloat32, Shape::of({3})});
  const ValueId w = body->add_input("w", {DType::kFloat32, Shape::of({3})});
  const auto result = [&](NodeId id) { return body->node(id).output(); };
  const ValueId part = result(add_op(*body, "part", "add", {sum, x}));
  const ValueId next = result(add_op(*body, "next", "add", {part, w}));
  const ValueId product = result(add_op(*body, "product", "mul", {next, x}));
  body->set_outputs({next, product});
  return body;
}

}  // namespace

ScanPorts scan_ports(const Node& node, const Graph& body, size_t lead) {
  ScanPorts ports{.captures = capture_count(node)};
  const auto scanned = node.attrs.require<int64_t>("num_scan_inputs");
  const size_t given = node.inputs.size() - std::min(node.inputs.size(), lead + ports.captures);
  bool fits = scanned >= 1 && static_cast<uint64_t>(scanned) <= given && body.inputs().size() == given + ports.captures;
  if (fits) {
    ports.scanned = static_cast<size_t>(scanned);
    ports.states = given - ports.scanned;
    fits = body.outputs().size() >= ports.states;
    ports.collected = body.outputs().size() - std::min(body.outputs().size(), ports.states);
    fits = fits && node.outputs.size() <= ports.states + ports.collected;
  }
  if (fits) return ports;
  throw Error(
      ErrorCode::kInput,
      fmt::format("a body of {} inputs and {} outputs does not fit a scan over {} of {} inputs with {} outputs",
                  body.inputs().size(), body.outputs().size(), scanned, node.inputs.size(), node.outputs.size()),
      {.node = node.name, .op = node.op});
}

int64_t entry(const Node& node, std::string_view name, size_t index, size_t count) {
  const std::vector<int64_t> values = attr_ints(node, name);
  if (values.empty()) return 0;
  if (values.size() == count) return values[index];
  throw Error(ErrorCode::kInput, fmt::format("attribute '{}' has {} entries for {} values", name, values.size(), count),
              {.node = node.name, .op = node.op});
}

bool backwards(const Node& node, std::string_view name, size_t index, size_t count) {
  const int64_t direction = entry(node, name, index, count);
  if (direction == 0 || direction == 1) return direction == 1;
  throw Error(ErrorCode::kInput, fmt::format("attribute '{}' has the entry {}; 0 and 1 are known", name, direction),
              {.node = node.name, .op = node.op});
}

Tensor take(const TensorView& from, size_t axis, int64_t index) {
  Dims dims = from.dims;
  dims.erase(dims.begin() + static_cast<long>(axis));
  const Slices slices(from.dims, axis, from.dtype);
  const auto* data = static_cast<const std::byte*>(from.data) + index * slices.inner;
  if (slices.outer == 1) return borrow({from.dtype, std::move(dims), data});
  Tensor result = Tensor::allocate(from.dtype, std::move(dims));
  for (int64_t o = 0; o < slices.outer; ++o) {
    std::memcpy(result.mutable_data() + o * slices.inner, data + o * slices.extent * slices.inner,
                static_cast<size_t>(slices.inner));
  }
  return result;
}

void put(const MutableView& to, size_t axis, int64_t index, const Tensor& slice) {
  const Slices slices(to.dims, axis, to.dtype);
  auto* data = static_cast<std::byte*>(to.data) + index * slices.inner;
  for (int64_t o = 0; o < slices.outer && slices.inner > 0; ++o) {
    std::memcpy(data + o * slices.extent * slices.inner, slice.bytes().data() + o * slices.inner,
                static_cast<size_t>(slices.inner));
  }
}

Dim common_length(InferContext& c, const ScanPorts& ports, size_t first, const std::vector<size_t>& axes) {
  Dim length;
  for (size_t i = 0; i < ports.scanned; ++i) {
    const Shape& shape = c.shape(first + i);
    if (!shape.ranked() || !shape[axes[i]].is_fixed()) continue;
    if (length.is_fixed() && length != shape[axes[i]]) {
      c.fail(fmt::format("scanned inputs have {} and {} slices", length.extent(), shape[axes[i]].extent()));
    }
    length = shape[axes[i]];
  }
  return length;
}

Shape without_axis(const Shape& shape, size_t axis) {
  if (!shape.ranked()) return Shape();
  std::vector<Dim> dims = shape.dims();
  dims.erase(dims.begin() + static_cast<long>(axis));
  return Shape(std::move(dims));
}

Scanned turn_over(const RunContext& c, const std::shared_ptr<const Graph>& body, const ScanPorts& ports,
                  std::vector<Tensor> states, int64_t length, const std::function<Tensor(size_t, int64_t)>& slice) {
  Scanned result{std::move(states), std::vector<std::vector<Tensor>>(ports.collected)};
  std::vector<Tensor> captures;
  append_captures(c, captures);
  for (int64_t turn = 0; turn < length; ++turn) {
    std::vector<Tensor> inputs = result.states;
    for (size_t i = 0; i < ports.scanned; ++i) inputs.push_back(slice(i, turn));
    inputs.insert(inputs.end(), captures.begin(), captures.end());
    std::vector<Tensor> outputs = c.run_graph(body, inputs);
    for (size_t i = 0; i < ports.states; ++i) result.states[i] = std::move(outputs[i]);
    for (size_t i = 0; i < ports.collected; ++i) result.collected[i].push_back(std::move(outputs[ports.states + i]));
  }
  return result;
}

int64_t common_length(const RunContext& c, const ScanPorts& ports, size_t first, const std::vector<size_t>& axes) {
  const int64_t length = c.input(first).dims[axes[0]];
  for (size_t i = 1; i < ports.scanned; ++i) {
    if (c.input(first + i).dims[axes[i]] == length) continue;
    throw Error(ErrorCode::kInput, "scanned inputs have different numbers of slices",
                {.node = c.node().name, .op = c.node().op});
  }
  return length;
}

void import_scan(ImportContext& c) { import_control_flow(c, 0); }

Attrs scan_sample_attrs() {
  return {{"body", sample_body()}, {"num_scan_inputs", int64_t{1}}, {std::string(kCaptures), int64_t{1}}};
}

}  // namespace amct
