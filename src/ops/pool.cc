#include "ops/pool.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/compute_row.h"

namespace amct {
namespace {

std::span<const int64_t> spatial_of(const Dims& dims) { return std::span(dims).subspan(2); }

// True if the last windows of some axis pass the pads that the node asks for.
bool extend_pads(const Dims& x, const Dims& y, dnn::Window& window) {
  bool extended = false;
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    const int64_t last = (y[2 + i] - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i] + 1;
    const int64_t needed = last - x[2 + i] - window.pads_begin[i];
    if (needed > window.pads_end[i]) {
      window.pads_end[i] = needed;
      extended = true;
    }
  }
  return extended;
}

}  // namespace

std::vector<AttrSpec> pool_attrs() {
  std::vector<AttrSpec> attrs = window_attrs();
  attrs.push_back(required_attr("kernel_shape", AttrType::kInts));
  attrs.push_back(int_attr("ceil_mode", 0));
  return attrs;
}

void infer_pool(InferContext& c, DType dtype, bool with_indices) {
  const WindowRule rule = read_window(c.node(), attr_ints(c.node(), "kernel_shape"));
  const size_t rank = rule.kernel.size() + 2;
  if (rank < 3 || rank > 5) c.fail(fmt::format("attribute 'kernel_shape' has {} entries; 1 to 3 are needed", rank - 2));
  const Shape& x = c.shape(0);
  if (x.ranked() && x.rank() != rank) {
    c.fail(fmt::format("its input has rank {}; its kernel of {} axes needs {}", x.rank(), rank - 2, rank));
  }
  Shape y = Shape::of_rank(rank);
  if (x.ranked()) {
    y[0] = x[0];
    y[1] = x[1];
    const auto spatial = window_dims(c.node(), rule, std::span(x.dims()).subspan(2), false);
    for (size_t i = 0; i < spatial.size(); ++i) y[2 + i] = spatial[i];
  }
  if (with_indices) c.set_output(1, DType::kInt64, y);
  c.set_output(0, dtype, std::move(y));
}

void infer_global_pool(InferContext& c) {
  const Shape& x = c.shape(0);
  if (!x.ranked()) return c.set_output(0, c.dtype(0), Shape());
  if (x.rank() < 3) c.fail(fmt::format("its input has rank {}; at least 3 is needed", x.rank()));
  Shape y = x;
  for (size_t axis = 2; axis < y.rank(); ++axis) y[axis] = 1;
  c.set_output(0, c.dtype(0), std::move(y));
}

dnn::Window pool_window(const Node& node, const Dims& x) {
  return resolve_window(read_window(node, attr_ints(node, "kernel_shape")), spatial_of(x), false);
}

dnn::Window whole_image(const Dims& x) {
  const size_t count = x.size() - 2;
  return {.kernel = Dims(x.begin() + 2, x.end()),
          .strides = Dims(count, 1),
          .dilations = Dims(count, 1),
          .pads_begin = Dims(count, 0),
          .pads_end = Dims(count, 0)};
}

std::unique_ptr<Step> lower_pool(const LowerContext& c, dnn::PoolingSpec::Kind kind, dnn::Window window) {
  const Dims& x = c.input(0).dims;
  if (c.input(0).dtype != DType::kFloat32 || x.size() > 5) return nullptr;
  // The library counts all of its pads; elements behind the node's own pads do not count.
  if (extend_pads(x, c.output(0).dims, window) && kind == dnn::PoolingSpec::Kind::kAveragePadded) return nullptr;
  dnn::PoolingSpec spec{.kind = kind,
                        .src = operand_of(c.input(0)),
                        .dst = operand_of(c.output(0)),
                        .window = std::move(window),
                        .threads = c.threads()};
  return lower_kernel(c, {0}, [&](const std::vector<dnn::PostOp>& post_ops) {
    spec.post_ops = post_ops;
    return dnn::make_pooling(spec);
  });
}

std::vector<AxisRelation> axes_global_pool(const AxesContext& c) {
  return {tie(c.output(0)[0], {in_axis(0, 0), out_axis(0, 0)}), tie(c.output(0)[1], {in_axis(0, 1), out_axis(0, 1)})};
}

std::vector<AxisRelation> axes_pool(const AxesContext& c) {
  std::vector<AxisRelation> relations = axes_global_pool(c);
  for (size_t axis = 2; axis < c.output(0).size(); ++axis) {
    relations.push_back(lock(in_axis(0, axis), "a window slides over it"));
    relations.push_back(lock(out_axis(0, axis), "a window slides over it"));
  }
  return relations;
}

}  // namespace amct
