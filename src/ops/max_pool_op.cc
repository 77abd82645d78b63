// Maximum of a sliding window. Output 1, if wanted, is the index of each maximum in the flattened input.
#include "kernels/reference/reference.h"
#include "kernels/simd/byte_max_pool.h"
#include "ops/compute_row.h"
#include "ops/integer_compute.h"
#include "ops/pool.h"

namespace amct {
namespace {

void infer(InferContext& c) { infer_pool(c, c.dtype(0), true); }

void run(RunContext& c) {
  const auto shape =
      reference::windowed_shape(c.input(0).dims, c.output(0).dims, pool_window(c.node(), c.input(0).dims));
  std::vector<double> y(static_cast<size_t>(c.output(0).size()));
  int64_t* indices = c.wants(1) ? c.output(1).as<int64_t>() : nullptr;
  reference::max_pool(shape, reference::widen(c.input(0)).data(), y.data(), indices,
                      attr_int(c.node(), "storage_order") != 0, c.threads());
  reference::narrow(y, c.output(0));
}

class ByteStep : public Step {
 public:
  explicit ByteStep(const LowerContext& c)
      : shape_(int_window_shape(c.input(0).dims, c.output(0).dims, pool_window(c.node(), c.input(0).dims), 1,
                                Layout::kChannelsLast)),
        is_signed_(c.input(0).dtype == DType::kInt8),
        threads_(c.threads()) {}
  std::function<void()> bind(const StepIo& io) const override {
    return [this, x = io.inputs[0].data, y = io.outputs[0].data] { byte_max_pool(shape_, x, is_signed_, y, threads_); };
  }
  std::string implementation() const override { return "simd"; }

 private:
  const IntConvShape shape_;
  const bool is_signed_;
  const int threads_;
};

std::unique_ptr<Step> lower(const LowerContext& c) {
  if (c.node().output(1).valid()) return nullptr;
  if (c.input(0).dtype == DType::kInt8 || c.input(0).dtype == DType::kUInt8) {
    const bool last = c.input(0).layout == Layout::kChannelsLast && c.output(0).layout == Layout::kChannelsLast;
    return last && c.epilogues().empty() ? std::make_unique<ByteStep>(c) : nullptr;
  }
  return lower_pool(c, dnn::PoolingSpec::Kind::kMax, pool_window(c.node(), c.input(0).dims));
}

std::vector<Sample> samples() {
  using Ints = std::vector<int64_t>;
  return {
      {.name = "strides",
       .inputs = {random_input({2, 5, 9, 7})},
       .attrs = {{"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 3}}}},
      {.name = "pads_ceil",
       .inputs = {random_input({1, 7, 10, 8})},
       .attrs = {{"kernel_shape", Ints{3, 3}},
                 {"strides", Ints{2, 2}},
                 {"pads", Ints{1, 0, 0, 1}},
                 {"ceil_mode", int64_t{1}}}},
      {.name = "same_lower",
       .inputs = {random_input({1, 3, 7, 8})},
       .attrs = {{"kernel_shape", Ints{3, 4}}, {"strides", Ints{2, 2}}, {"auto_pad", std::string("SAME_LOWER")}}},
      {.name = "dilated",
       .inputs = {random_input({1, 3, 9, 8})},
       .attrs = {{"kernel_shape", Ints{2, 3}}, {"dilations", Ints{3, 2}}}},
      {.name = "indices",
       .inputs = {random_input({2, 3, 6, 7})},
       .attrs = {{"kernel_shape", Ints{2, 3}}, {"strides", Ints{2, 2}}},
       .outputs = 2},
      {.name = "indices_column_major",
       .inputs = {random_input({2, 3, 6, 7})},
       .attrs = {{"kernel_shape", Ints{2, 3}}, {"strides", Ints{2, 2}}, {"storage_order", int64_t{1}}},
       .outputs = 2},
      {.name = "1d", .inputs = {random_input({2, 3, 13})}, .attrs = {{"kernel_shape", Ints{4}}, {"strides", Ints{3}}}},
      {.name = "3d",
       .inputs = {random_input({1, 3, 5, 6, 7})},
       .attrs = {{"kernel_shape", Ints{2, 3, 2}}, {"strides", Ints{1, 2, 2}}, {"pads", Ints{0, 1, 1, 1, 1, 0}}}},
      {.name = "int8",
       .inputs = {random_input({1, 3, 6, 5}, -100, 100, DType::kInt8)},
       .attrs = {{"kernel_shape", Ints{2, 2}}}},
      {.name = "uint8_pads",
       .inputs = {random_input({2, 67, 9, 8}, 0, 255, DType::kUInt8)},
       .attrs = {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
  };
}

// An index counts elements from the start of the tensor, across all axes before its own.
std::vector<AxisRelation> axes_max_pool(const AxesContext& c) {
  if (!c.node().output(1).valid()) return axes_pool(c);
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.input(0).size(); ++axis) {
    const std::string reason = "the indices of the largest elements count across it";
    relations.push_back(lock(in_axis(0, axis), reason));
    relations.push_back(lock(out_axis(0, axis), reason));
    relations.push_back(lock(out_axis(1, axis), reason));
  }
  return relations;
}

}  // namespace

void add_max_pool_op(OpTable& table) {
  std::vector<AttrSpec> attrs = pool_attrs();
  attrs.push_back(int_attr("storage_order", 0));
  table.add({
      .name = "max_pool",
      .doc = "Maximum of a sliding window, with the indices of the maxima if wanted.",
      .inputs = {{"x"}},
      .outputs = {{"y"}, {"indices", true}},
      .attrs = std::move(attrs),
      .infer = infer,
      .run = run,
      .lower = lower,
      .layout = LayoutRule::kPreferChannelsLast,
      .quant = QuantRule::pass_through(),
      .axes = axes_max_pool,
      .spellings = {onnx("MaxPool")},
      .samples = samples,
  });
}

}  // namespace amct
