// Pad: a border of constants, of the mirrored or repeated edge, or of the opposite side; negative pads cut away.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/checked_math.h"
#include "kernels/index/mapped.h"
#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

enum class Mode { kConstant, kReflect, kEdge, kWrap };

Mode mode_of(const Node& node) {
  const std::string mode = attr_string(node, "mode");
  if (mode == "constant") return Mode::kConstant;
  if (mode == "reflect") return Mode::kReflect;
  if (mode == "edge") return Mode::kEdge;
  if (mode == "wrap") return Mode::kWrap;
  throw Error(ErrorCode::kInput, fmt::format("mode '{}' is unknown", mode), {.node = node.name, .op = node.op},
              "use constant, reflect, edge or wrap");
}

struct Border {
  int64_t begin = 0;
  int64_t end = 0;
};

// The border of every axis of a tensor of this rank. `pads` holds all begins, then all ends, of `axes` (all if null).
std::vector<Border> borders_of(const Ints& pads, const Ints* axes, size_t rank, const Node& node) {
  std::vector<size_t> targets;
  if (axes != nullptr) {
    targets = normalize_axes(*axes, rank);
  } else {
    for (size_t i = 0; i < rank; ++i) targets.push_back(i);
  }
  if (pads.size() != 2 * targets.size()) {
    throw Error(ErrorCode::kInput, fmt::format("{} pads do not fit {} axes", pads.size(), targets.size()),
                {.node = node.name, .op = node.op});
  }
  std::vector<Border> borders(rank);
  for (size_t i = 0; i < targets.size(); ++i) borders[targets[i]] = {pads[i], pads[i + targets.size()]};
  return borders;
}

int64_t padded_extent(int64_t extent, const Border& border, Mode mode, const Node& node) {
  const Where where{.node = node.name, .op = node.op};
  const auto begun = checked_add(extent, border.begin);
  const auto padded = begun ? checked_add(*begun, border.end) : std::nullopt;
  const auto cut = checked_add(std::min<int64_t>(border.begin, 0), std::min<int64_t>(border.end, 0));
  if (!padded || !cut || -extent > *cut) {
    throw Error(ErrorCode::kInput,
                fmt::format("pads {} and {} do not fit an axis of {}", border.begin, border.end, extent), where);
  }
  const bool grows = border.begin > 0 || border.end > 0;
  if (mode != Mode::kConstant && grows && extent + *cut == 0) {
    throw Error(ErrorCode::kInput, "an empty axis has no elements to pad with", where);
  }
  return *padded;
}

void infer_pad(InferContext& c) {
  const Shape& input = c.shape(0);
  const Mode mode = mode_of(c.node());
  const auto pads = c.ints(1);
  const auto axes = c.ints(3);
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape());
  Shape shape = input;
  if (pads && (axes || !c.has(3))) {
    const auto borders = borders_of(*pads, axes ? &*axes : nullptr, input.rank(), c.node());
    for (size_t i = 0; i < input.rank(); ++i) {
      if (borders[i].begin == 0 && borders[i].end == 0) continue;
      shape[i] = input[i].is_fixed() ? Dim(padded_extent(input[i].extent(), borders[i], mode, c.node())) : Dim();
    }
  } else if (axes) {
    for (const size_t axis : normalize_axes(*axes, input.rank())) shape[axis] = Dim();
  } else {
    shape = Shape::of_rank(input.rank());
  }
  c.set_output(0, c.dtype(0), shape);
}

// The source index of position `i` in the padded axis; kFillOffset outside in constant mode. What negative pads cut
// away is gone before the rest is mirrored or repeated.
int64_t source_index(int64_t i, int64_t extent, const Border& border, Mode mode) {
  const int64_t first = std::max<int64_t>(0, -border.begin);
  const int64_t count = extent - first - std::max<int64_t>(0, -border.end);
  int64_t position = i - std::max<int64_t>(0, border.begin);
  if (position >= 0 && position < count) return first + position;
  switch (mode) {
    case Mode::kConstant: return kFillOffset;
    case Mode::kEdge: return first + std::clamp<int64_t>(position, 0, count - 1);
    case Mode::kWrap: return first + (position % count + count) % count;
    case Mode::kReflect: break;
  }
  if (count == 1) return first;
  const int64_t period = 2 * (count - 1);
  position = (position % period + period) % period;
  return first + std::min(position, period - position);
}

void run_pad(RunContext& c) {
  const TensorView& in = c.input(0);
  const size_t rank = in.dims.size();
  const Mode mode = mode_of(c.node());
  const Ints axes = c.has(3) ? ints_of(c.input(3)) : Ints();
  const auto borders = borders_of(ints_of(c.input(1)), c.has(3) ? &axes : nullptr, rank, c.node());
  const Dims strides = row_major_strides(in.dims);
  std::vector<std::vector<int64_t>> offsets(rank);
  for (size_t logical = 0; logical < rank; ++logical) {
    const size_t axis = c.memory_axis(logical, rank);
    const int64_t padded = padded_extent(in.dims[axis], borders[logical], mode, c.node());
    for (int64_t i = 0; i < padded; ++i) {
      const int64_t index = source_index(i, in.dims[axis], borders[logical], mode);
      offsets[axis].push_back(index == kFillOffset ? kFillOffset : index * strides[axis]);
    }
  }
  alignas(16) std::array<std::byte, 16> zero{};
  const void* fill = zero.data();
  Tensor value;
  if (c.has(2) && c.input(2).size() == 1) {
    // A constant that an old file gave as a float attribute has to take the type of the data.
    value = Tensor::copy_of(c.input(2)).cast(in.dtype);
    fill = value.view().data;
  }
  copy_mapped(element_bytes(in.dtype), std::move(offsets), in.data, fill, c.output(0).data);
}

std::vector<AxisRelation> axes_pad(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const Tensor* pads = c.constant(1);
  const Tensor* given = c.constant(3);
  if (pads == nullptr || (c.has(3) && given == nullptr)) {
    for (size_t i = 0; i < input.size(); ++i) relations.push_back(lock(in_axis(0, i), "the pads are computed"));
    return relations;
  }
  const Ints axes = given != nullptr ? given->to_int64s() : Ints();
  const auto borders = borders_of(pads->to_int64s(), given != nullptr ? &axes : nullptr, input.size(), c.node());
  for (size_t i = 0; i < input.size(); ++i) {
    const Border& border = borders[i];
    const bool same = border.begin == 0 && border.end == 0;
    if (same || (mode_of(c.node()) == Mode::kConstant && border.begin >= 0 && border.end >= 0)) {
      AxisRef inside = out_axis(0, i);
      inside.offset = border.begin;
      add_tie(relations, input[i], {in_axis(0, i), inside});
    } else {
      relations.push_back(lock(in_axis(0, i), "the border repeats or cuts channels of this axis"));
      relations.push_back(lock(out_axis(0, i), "the border repeats or cuts channels of this axis"));
    }
  }
  return relations;
}

// Opset 2: pads and a float value are attributes.
void import_pad_2(ImportContext& c) {
  std::vector<ValueId> inputs{c.input(0), c.ints_constant("pads", c.attrs().require<Ints>("pads"))};
  const double value = c.attrs().get<double>("value", 0.0);
  if (value != 0.0 && c.input(0).valid()) {
    const DType dtype = c.type(0).dtype;
    const Tensor scalar = Tensor::scalar(value);
    inputs.push_back(c.constant("value", scalar.cast(dtype == DType::kUndefined ? DType::kFloat32 : dtype)));
  }
  Attrs attrs;
  if (c.attrs().has("mode")) attrs.set("mode", c.attrs().require<std::string>("mode"));
  c.add(std::move(inputs), std::move(attrs));
}

void check_mode(ExportContext& c) {
  if (c.version() < 19 && mode_of(c.node()) == Mode::kWrap) c.unsupported("mode 'wrap' needs opset 19");
}

// The pads of all axes, for versions that cannot name some. Nullopt if there is nothing to rewrite.
std::optional<Ints> full_pads(ExportContext& c) {
  if (!c.node().input(3).valid()) return std::nullopt;
  const Ints axes = *c.constant_ints(3, 18);
  const Shape& shape = c.graph().value(c.node().input(0)).type.shape;
  if (!shape.ranked()) c.unsupported("the rank of the input is not known, and only opset 18 can pad some axes");
  Ints pads(2 * shape.rank(), 0);
  const auto borders = borders_of(*c.constant_ints(1, 18), &axes, shape.rank(), c.node());
  for (size_t i = 0; i < shape.rank(); ++i) {
    pads[i] = borders[i].begin;
    pads[i + shape.rank()] = borders[i].end;
  }
  return pads;
}

void export_pad_18(ExportContext& c) {
  check_mode(c);
  c.emit(input_names(c), c.node().attrs);
}

void export_pad_11(ExportContext& c) {
  check_mode(c);
  std::vector<std::string> inputs = input_names(c);
  if (const auto pads = full_pads(c)) {
    inputs[1] = c.helper_constant(Tensor::of<int64_t>({static_cast<int64_t>(pads->size())}, *pads), "pads");
  }
  inputs.resize(std::min<size_t>(inputs.size(), 3));
  c.emit(std::move(inputs), c.node().attrs);
}

void export_pad_2(ExportContext& c) {
  check_mode(c);
  Attrs attrs = c.node().attrs;
  const auto pads = full_pads(c);
  attrs.set("pads", pads ? *pads : *c.constant_ints(1, 11));
  if (c.node().input(2).valid()) {
    const Tensor* value = c.graph().constant(c.node().input(2));
    if (value == nullptr) c.unsupported("the constant value is computed, which needs opset 11");
    if (value->size() == 1) attrs.set("value", value->to_doubles()[0]);
  }
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

std::vector<Sample> pad_samples() {
  const auto mode = [](const char* name) { return Attrs{{"mode", std::string(name)}}; };
  return {
      {.name = "constant",
       .inputs = {random_input({2, 3, 4, 5}), fixed_ints({0, 1, 2, 0, 0, 2, 0, 1}), fixed(Tensor::scalar(0.5f))}},
      {.name = "zero", .inputs = {random_input({2, 3, 4, 5}), fixed_ints({0, 0, 1, 2, 0, 0, 0, 1})}},
      {.name = "reflect",
       .inputs = {random_input({1, 2, 4, 5}), fixed_ints({0, 0, 3, 1, 0, 0, 2, 4})},
       .attrs = mode("reflect")},
      {.name = "edge", .inputs = {random_input({3, 4}), fixed_ints({2, 0, 1, 5})}, .attrs = mode("edge")},
      {.name = "wrap",
       .inputs = {random_input({3, 4}, -9, 9, DType::kInt32), fixed_ints({2, 1, 1, 3})},
       .attrs = mode("wrap")},
      {.name = "axes",
       .inputs = {random_input({2, 3, 4, 5}), fixed_ints({1, 2, 3, 0}), absent_input(), fixed_ints({-1, 2})}},
      {.name = "negative", .inputs = {random_input({4, 7}), fixed_ints({-1, 2, 1, -3})}},
  };
}

}  // namespace

void add_pad_op(OpTable& table) {
  table.add({.name = "pad",
             .doc = "Adds a border of constants or of repeated elements.",
             .inputs = {{.name = "data"},
                        shape_port("pads"),
                        {.name = "constant_value", .role = Role::kParameter, .optional = true},
                        shape_port("axes", true)},
             .outputs = {{.name = "output"}},
             .attrs = {string_attr("mode", "constant")},
             .infer = infer_pad,
             .timing = ShapeTiming::kFromValues,
             .run = run_pad,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::keep_float("the border is not in the quantized range of its input"),
             .axes = axes_pad,
             .spellings = {onnx("Pad", 18, std::numeric_limits<int64_t>::max(), nullptr, export_pad_18),
                           onnx("Pad", 11, 17, nullptr, export_pad_11), onnx("Pad", 2, 10, import_pad_2, export_pad_2)},
             .samples = pad_samples});
}

}  // namespace amct
