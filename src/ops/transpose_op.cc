// Transpose, DepthToSpace, SpaceToDepth: elements in another order of axes.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

std::vector<size_t> permutation(const Node& node, size_t rank) {
  if (!node.attrs.has("perm")) {
    std::vector<size_t> reversed(rank);
    std::iota(reversed.rbegin(), reversed.rend(), size_t{0});
    return reversed;
  }
  const Ints perm = attr_ints(node, "perm");
  if (perm.size() != rank) {
    throw Error(ErrorCode::kInput, fmt::format("perm {} does not fit a tensor of rank {}", to_string(perm), rank),
                {.node = node.name, .op = node.op});
  }
  return normalize_axes(perm, rank);
}

void infer_transpose(InferContext& c) {
  const Shape& input = c.shape(0);
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape());
  std::vector<Dim> dims;
  for (const size_t axis : permutation(c.node(), input.rank())) dims.push_back(input[axis]);
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

void run_transpose(RunContext& c) {
  const TensorView& in = c.input(0);
  transpose(element_bytes(in.dtype), in.dims, permutation(c.node(), in.dims.size()), in.data, c.output(0).data);
}

std::vector<AxisRelation> axes_transpose(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const auto perm = permutation(c.node(), c.input(0).size());
  for (size_t k = 0; k < perm.size(); ++k) {
    add_tie(relations, c.output(0)[k], {in_axis(0, perm[k]), out_axis(0, k)});
  }
  return relations;
}

int64_t block_size(const Node& node) {
  const int64_t block = attr_int(node, "blocksize");
  if (block < 1 || block > 65536) {
    throw Error(ErrorCode::kInput, fmt::format("blocksize {} is out of range", block),
                {.node = node.name, .op = node.op});
  }
  return block;
}

bool depth_first(const Node& node) {
  const std::string mode = attr_string(node, "mode");
  if (mode != "DCR" && mode != "CRD") {
    throw Error(ErrorCode::kInput, fmt::format("mode '{}' is unknown", mode), {.node = node.name, .op = node.op},
                "use 'DCR' or 'CRD'");
  }
  return mode == "DCR";
}

Dim times(const Dim& dim, int64_t factor) {
  return dim.is_fixed() ? product_of({dim, Dim(factor)}, 0, 2) : factor == 1 ? dim : Dim();
}

Dim over(InferContext& c, const Dim& dim, int64_t factor, std::string_view what) {
  if (!dim.is_fixed()) return factor == 1 ? dim : Dim();
  if (dim.extent() % factor != 0) {
    c.fail(fmt::format("the {} of shape {} is not a multiple of {}", what, c.shape(0).to_string(), factor));
  }
  return dim.extent() / factor;
}

// The shapes between [N, C, H, W] and [N, C / b^2, H b, W b], in the direction that the row goes.
void infer_blocks(InferContext& c, bool to_space) {
  const Shape& input = c.shape(0);
  const int64_t block = block_size(c.node());
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape::of_rank(4));
  if (input.rank() != 4) c.fail(fmt::format("shape {} is not that of images", input.to_string()));
  if (to_space) {
    c.set_output(
        0, c.dtype(0),
        Shape({input[0], over(c, input[1], block * block, "depth"), times(input[2], block), times(input[3], block)}));
  } else {
    c.set_output(0, c.dtype(0),
                 Shape({input[0], times(input[1], block * block), over(c, input[2], block, "height"),
                        over(c, input[3], block, "width")}));
  }
}

void infer_depth_to_space(InferContext& c) {
  depth_first(c.node());
  infer_blocks(c, true);
}
void infer_space_to_depth(InferContext& c) { infer_blocks(c, false); }

// Strides of a dense image in the layout of the run, for its logical axes N, C, H, W.
Dims image_strides(const Dims& memory, Layout layout) {
  const Dims strides = row_major_strides(memory);
  Dims logical(4);
  for (size_t axis = 0; axis < 4; ++axis) logical[axis] = strides[memory_axis(axis, 4, layout)];
  return logical;
}

// Copies between a deep image (channels block^2 * depth) and a wide one. `depth_major` says that the deep channel index
// is (block row, block column, channel) rather than (channel, block row, block column).
void copy_blocks(RunContext& c, bool to_space, bool depth_major) {
  const int64_t block = block_size(c.node());
  const Dims wide = to_space ? logical_output(c, 0) : logical_input(c, 0);
  const Dims in_strides = image_strides(c.input(0).dims, c.layout());
  const Dims out_strides = image_strides(c.output(0).dims, c.layout());
  const int64_t depth = wide[1];
  // Loops in the memory order of channels-first or channels-last: N, [C], H, block row, W, block column, [C].
  const auto strides_of = [&](const Dims& s, bool is_deep) {
    const int64_t channel = is_deep && !depth_major ? s[1] * block * block : s[1];
    const int64_t row = !is_deep ? s[2] : s[1] * block * (depth_major ? depth : 1);
    const int64_t column = !is_deep ? s[3] : s[1] * (depth_major ? depth : 1);
    const int64_t h = is_deep ? s[2] : s[2] * block;
    const int64_t w = is_deep ? s[3] : s[3] * block;
    return c.layout() == Layout::kPlain ? Dims{s[0], channel, h, row, w, column}
                                        : Dims{s[0], h, row, w, column, channel};
  };
  const int64_t h = wide[2] / block, w = wide[3] / block;
  const Dims dims = c.layout() == Layout::kPlain ? Dims{wide[0], depth, h, block, w, block}
                                                 : Dims{wide[0], h, block, w, block, depth};
  copy_strided(element_bytes(c.input(0).dtype), dims, c.input(0).data, strides_of(in_strides, to_space),
               c.output(0).data, strides_of(out_strides, !to_space));
}

void run_depth_to_space(RunContext& c) { copy_blocks(c, true, depth_first(c.node())); }
void run_space_to_depth(RunContext& c) { copy_blocks(c, false, true); }

std::vector<AxisRelation> axes_of_blocks(const AxesContext& c, bool to_space, bool depth_major) {
  std::vector<AxisRelation> relations;
  const Dims& wide = to_space ? c.output(0) : c.input(0);
  const int64_t squared = block_size(c.node()) * block_size(c.node());
  add_tie(relations, wide[0], {in_axis(0, 0), out_axis(0, 0)});
  AxisRef deep = to_space ? in_axis(0, 1) : out_axis(0, 1);
  (depth_major ? deep.outer : deep.inner) = squared;
  const AxisRef shallow = to_space ? out_axis(0, 1) : in_axis(0, 1);
  add_tie(relations, wide[1], to_space ? std::vector{deep, shallow} : std::vector{shallow, deep});
  return relations;
}

std::vector<AxisRelation> axes_depth_to_space(const AxesContext& c) {
  return axes_of_blocks(c, true, depth_first(c.node()));
}
std::vector<AxisRelation> axes_space_to_depth(const AxesContext& c) { return axes_of_blocks(c, false, true); }

std::vector<Sample> transpose_samples() {
  return {
      {.name = "reversed", .inputs = {random_input({2, 3, 5})}},
      {.name = "to_channels_last", .inputs = {random_input({2, 5, 3, 7})}, .attrs = {{"perm", Ints{0, 2, 3, 1}}}},
      {.name = "rank5",
       .inputs = {random_input({2, 3, 4, 2, 5}, -9, 9, DType::kInt8)},
       .attrs = {{"perm", Ints{4, 1, 0, 3, 2}}}},
      {.name = "double", .inputs = {random_input({17, 33}, -1, 1, DType::kFloat64)}, .attrs = {{"perm", Ints{1, 0}}}},
  };
}

std::vector<Sample> depth_to_space_samples() {
  return {
      {.name = "dcr", .inputs = {random_input({2, 12, 2, 3})}, .attrs = {{"blocksize", int64_t{2}}}},
      {.name = "crd",
       .inputs = {random_input({1, 18, 3, 2})},
       .attrs = {{"blocksize", int64_t{3}}, {"mode", std::string("CRD")}}},
  };
}

std::vector<Sample> space_to_depth_samples() {
  return {
      {.name = "two", .inputs = {random_input({2, 3, 4, 6})}, .attrs = {{"blocksize", int64_t{2}}}},
      {.name = "three", .inputs = {random_input({1, 2, 3, 9})}, .attrs = {{"blocksize", int64_t{3}}}},
  };
}

}  // namespace

void add_transpose_op(OpTable& table) {
  table.add({.name = "transpose",
             .doc = "Permutes the axes.",
             .inputs = {{.name = "data"}},
             .outputs = {{.name = "transposed"}},
             .attrs = {optional_attr("perm", AttrType::kInts)},
             .infer = infer_transpose,
             .run = run_transpose,
             .quant = QuantRule::pass_through(),
             .axes = axes_transpose,
             .spellings = {onnx("Transpose")},
             .samples = transpose_samples});
  table.add({.name = "depth_to_space",
             .doc = "Moves blocks of channels into squares of pixels.",
             .inputs = {{.name = "input"}},
             .outputs = {{.name = "output"}},
             .attrs = {required_attr("blocksize", AttrType::kInt), string_attr("mode", "DCR")},
             .infer = infer_depth_to_space,
             .run = run_depth_to_space,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::pass_through(),
             .axes = axes_depth_to_space,
             .spellings = {onnx("DepthToSpace", 11), onnx("DepthToSpace", 1, 10, import_default,
                                                          [](ExportContext& c) { export_without(c, "mode", 11); })},
             .samples = depth_to_space_samples});
  table.add({.name = "space_to_depth",
             .doc = "Moves squares of pixels into blocks of channels.",
             .inputs = {{.name = "input"}},
             .outputs = {{.name = "output"}},
             .attrs = {required_attr("blocksize", AttrType::kInt)},
             .infer = infer_space_to_depth,
             .run = run_space_to_depth,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::pass_through(),
             .axes = axes_space_to_depth,
             .spellings = {onnx("SpaceToDepth")},
             .samples = space_to_depth_samples});
}

}  // namespace amct
