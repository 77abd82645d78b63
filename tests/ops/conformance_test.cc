// What every row declares, proven on its samples: attributes, shape rule, kernel, layout, in-place running, compiled
// step, quantization rule. The coupling rules are proven in coupling_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "exec/session.h"
#include "ops/verify_ops.h"
#include "support/each_sample.h"
#include "support/sample_node.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

TEST(Conformance, TableHoldsRows) { EXPECT_GT(op_table().rows().size(), 60u); }

TEST(Conformance, RowsDescribeThemselves) {
  for (const OpRow& row : op_table().rows()) {
    SCOPED_TRACE(row.name);
    EXPECT_TRUE(row.doc.ends_with('.'));
    EXPECT_FALSE(row.outputs.empty());
    for (const AttrSpec& attr : row.attrs) {
      EXPECT_TRUE(attr.required || attr.absent_is_meaningful || has_type(attr.fallback, attr.type)) << attr.name;
    }
    for (size_t i = 0; i + 1 < row.inputs.size(); ++i) EXPECT_FALSE(row.inputs[i].variadic) << row.inputs[i].name;
    if (row.quant.kind() == QuantRule::Kind::kKeepFloat) {
      ASSERT_FALSE(row.quant.reason().empty());
      EXPECT_FALSE(row.quant.reason().ends_with('.')) << "a reason is a clause";
    }
  }
}

size_t required_inputs(const OpRow& row) {
  const auto last =
      std::find_if(row.inputs.rbegin(), row.inputs.rend(), [](const InputPort& port) { return !port.optional; });
  return static_cast<size_t>(row.inputs.rend() - last);
}

TEST(Conformance, SamplesAreComplete) {
  for (const OpRow& row : op_table().rows()) {
    SCOPED_TRACE(row.name);
    const std::vector<Sample> samples = row.samples();
    EXPECT_FALSE(samples.empty());
    std::set<std::string> names;
    for (const Sample& sample : samples) {
      SCOPED_TRACE(sample.name);
      EXPECT_TRUE(names.insert(sample.name).second) << "the name is not unique";
      EXPECT_EQ(sample.skip_onnx_runtime, !sample.reason.empty());
      EXPECT_GE(sample.inputs.size(), required_inputs(row));
      for (size_t port = 0; port < sample.inputs.size(); ++port) {
        const InputPort* input = row.input_port(port);
        ASSERT_NE(input, nullptr) << "port " << port;
        EXPECT_TRUE(input->optional || sample.inputs[port].dtype != DType::kUndefined) << input->name;
      }
      for (const auto& [name, value] : sample.attrs.items()) {
        const AttrSpec* attr = row.attr(name);
        ASSERT_NE(attr, nullptr) << name;
        EXPECT_TRUE(has_type(value, attr->type)) << name;
      }
      for (const AttrSpec& attr : row.attrs) EXPECT_TRUE(!attr.required || sample.attrs.has(attr.name)) << attr.name;
    }
  }
}

bool all_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return true;
  const std::vector<double> values = tensor.to_doubles();
  return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
}

bool can_hold_values(const Tensor& tensor) {  // 8-bit floats are storage only
  return !tensor || !is_floating(tensor.dtype()) || bit_width(tensor.dtype()) >= 16;
}

TEST(Conformance, KernelsWriteWhatShapeRulesPromise) {
  for_each_sample([](const OpRow& row, const Sample&, SampleNode& node) {
    if (row.run == nullptr) return;
    const bool finite_inputs = std::all_of(node.inputs.begin(), node.inputs.end(), [](const Tensor& input) {
      return !input || !can_hold_values(input) || all_finite(input);
    });
    InferContext infer = infer_context(node.node(), node.inputs);
    row.infer(infer);
    const std::vector<Tensor> outputs = run_filled(node.node(), node.inputs, 0x01);
    const std::vector<Tensor> again = run_filled(node.node(), node.inputs, 0x00);
    for (size_t port = 0; port < outputs.size(); ++port) {
      if (!node.node().outputs[port].valid()) continue;
      const TensorType& promised = infer.outputs()[port];
      EXPECT_EQ(outputs[port].dtype(), promised.dtype) << "output " << port;
      ASSERT_TRUE(promised.shape.ranked()) << "output " << port;
      ASSERT_EQ(outputs[port].rank(), promised.shape.rank()) << "output " << port;
      for (size_t axis = 0; axis < promised.shape.rank(); ++axis) {
        const Dim& dim = promised.shape[axis];
        EXPECT_TRUE(!dim.is_fixed() || dim.extent() == outputs[port].dims()[axis]) << "axis " << axis;
      }
      EXPECT_TRUE(!finite_inputs || !can_hold_values(outputs[port]) || all_finite(outputs[port])) << "output " << port;
      EXPECT_TRUE(!row.deterministic || outputs[port].same_bytes(again[port])) << "not every element is written";
    }
  });
}

// Infers with less knowledge: `forget` changes the type of every computed input.
void infer_with_less(const OpRow& row, const Sample& sample, const SampleNode& node,
                     const std::function<void(TensorType&)>& forget) {
  InferContext full = infer_context(node.node(), node.inputs);
  row.infer(full);
  std::vector<InferContext::Input> types;
  for (size_t port = 0; port < node.inputs.size(); ++port) {
    const Tensor& input = node.inputs[port];
    types.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, input ? &input : nullptr});
    if (!input || sample.inputs[port].constant) continue;
    types.back().value = nullptr;
    forget(types.back().type);
  }
  InferContext less(node.node(), std::move(types));
  row.infer(less);
  for (size_t port = 0; port < node.node().outputs.size(); ++port) {
    const Shape& guess = less.outputs()[port].shape;
    const Shape& truth = full.outputs()[port].shape;
    if (!guess.ranked() || !truth.ranked()) continue;
    ASSERT_EQ(guess.rank(), truth.rank());
    for (size_t axis = 0; axis < guess.rank(); ++axis) {
      const bool both = guess[axis].is_fixed() && truth[axis].is_fixed();
      EXPECT_TRUE(!both || guess[axis].extent() == truth[axis].extent()) << "axis " << axis;
    }
  }
}

TEST(Conformance, ShapeRulesCopeWithLessKnowledge) {
  for_each_sample([](const OpRow& row, const Sample& sample, SampleNode& node) {
    infer_with_less(row, sample, node, [](TensorType& type) { type.shape = Shape::of_rank(type.shape.rank()); });
    infer_with_less(row, sample, node, [](TensorType& type) { type.shape = Shape(); });
    infer_with_less(row, sample, node, [](TensorType& type) { type = TensorType{}; });
    infer_with_less(row, sample, node, [](TensorType& type) {
      if (type.shape.rank() > 0) type.shape[0] = Dim::named("batch");
    });
  });
}

bool follows_layout(const OpRow& row, size_t port) {
  const InputPort* input = row.input_port(port);
  return input->role == Role::kActivation || input->broadcasts;
}

// The inputs as a channels-last program presents them; empty if it would not.
std::vector<Tensor> in_channels_last(const OpRow& row, const SampleNode& node, const std::vector<Tensor>& outputs) {
  const size_t rank = outputs[0].rank();
  bool any = false;
  std::vector<Tensor> inputs = node.inputs;
  for (const Tensor& output : outputs) {
    if (rank < 3 || output.rank() != rank) return {};
  }
  for (size_t port = 0; port < inputs.size(); ++port) {
    if (!inputs[port] || !follows_layout(row, port)) continue;
    if (inputs[port].rank() > rank) return {};
    any = any || inputs[port].rank() == rank;
    Dims dims(rank - inputs[port].rank(), 1);
    dims.insert(dims.end(), inputs[port].dims().begin(), inputs[port].dims().end());
    inputs[port] = to_channels_last(inputs[port].reshaped(dims));
  }
  return any ? inputs : std::vector<Tensor>();
}

TEST(Conformance, FollowingRowsGiveTheSameInChannelsLast) {
  int checked = 0;
  for_each_sample([&](const OpRow& row, const Sample&, SampleNode& node) {
    if (row.layout != LayoutRule::kFollow || row.run == nullptr || row.timing == ShapeTiming::kFromData) return;
    const std::vector<Tensor> expected = run_filled(node.node(), node.inputs, 0);
    const std::vector<Tensor> inputs = in_channels_last(row, node, expected);
    if (inputs.empty()) return;
    std::vector<TensorView> views;
    for (const Tensor& input : inputs) views.push_back(input ? input.view() : TensorView{});
    std::vector<Tensor> outputs;
    std::vector<MutableView> output_views;
    for (const Tensor& plain : expected) {
      outputs.push_back(Tensor::allocate(plain.dtype(), memory_dims(plain.dims(), Layout::kChannelsLast)));
      output_views.push_back(outputs.back().mutable_view());
    }
    RunContext context(node.node(), std::move(views), std::move(output_views), 1, Layout::kChannelsLast);
    row.run(context);
    for (size_t port = 0; port < outputs.size(); ++port) {
      EXPECT_TRUE(close(to_plain(outputs[port]), expected[port], 1e-5, 1e-6)) << "output " << port;
    }
    ++checked;
  });
  RecordProperty("samples", checked);
  EXPECT_GT(checked, 100);
}

TEST(Conformance, InPlaceRowsMayOverwriteTheirFirstInput) {
  int checked = 0;
  for_each_sample([&](const OpRow& row, const Sample&, SampleNode& node) {
    if (!row.in_place || row.run == nullptr || node.node().outputs.size() != 1) return;
    const std::vector<Tensor> expected = run_filled(node.node(), node.inputs, 0);
    if (expected[0].dtype() != node.inputs[0].dtype() || expected[0].dims() != node.inputs[0].dims()) return;
    Tensor buffer = Tensor::copy_of(node.inputs[0].view());
    std::vector<TensorView> views;
    for (const Tensor& input : node.inputs) views.push_back(input ? input.view() : TensorView{});
    const MutableView memory = buffer.mutable_view();
    views[0] = memory;
    RunContext context(node.node(), std::move(views), {memory});
    row.run(context);
    EXPECT_TRUE(buffer.same_bytes(expected[0]));
    ++checked;
  });
  EXPECT_GT(checked, 50);
}

TEST(Conformance, CompiledStepsAgreeWithPlainKernels) {
  for_each_sample([](const OpRow& row, const Sample& sample, SampleNode& node) {
    if (row.run == nullptr || row.lower == nullptr) return;
    const std::vector<Tensor> expected = run_filled(node.node(), node.inputs, 0);
    std::vector<Tensor> feeds;
    for (size_t port = 0; port < node.inputs.size(); ++port) {
      if (node.inputs[port] && !sample.inputs[port].constant) feeds.push_back(node.inputs[port]);
    }
    Session session(node.graph);
    const std::vector<Tensor> outputs = session.run(feeds);
    ASSERT_EQ(outputs.size(), expected.size());
    for (size_t port = 0; port < outputs.size(); ++port) {
      EXPECT_TRUE(close(outputs[port], expected[port], 1e-4, 1e-5)) << "output " << port;
    }
  });
}

std::pair<double, double> range_of(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_doubles();
  if (values.empty()) return {0, 0};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {*low, *high};
}

TEST(Conformance, QuantizationRulesHold) {
  for_each_sample([](const OpRow& row, const Sample&, SampleNode& node) {
    const QuantRule::Kind kind = row.quant.kind();
    const bool ranged = kind == QuantRule::Kind::kFixedRange;
    const bool passes = kind == QuantRule::Kind::kPassThrough || kind == QuantRule::Kind::kSameScaleAll;
    if (row.run == nullptr || !(ranged || passes)) return;
    const Tensor output = run_filled(node.node(), node.inputs, 0)[0];
    const auto [low, high] = range_of(output);
    if (ranged) {
      EXPECT_GE(low, row.quant.low());
      EXPECT_LE(high, row.quant.high() + 1e-6);
      return;
    }
    std::pair<double, double> inputs{0, 0};
    for (size_t port = 0; port < node.inputs.size(); ++port) {
      if (!node.inputs[port] || node.inputs[port].dtype() != output.dtype()) continue;
      const auto range = range_of(node.inputs[port]);
      inputs = {std::min(inputs.first, range.first), std::max(inputs.second, range.second)};
    }
    EXPECT_GE(low, inputs.first);
    EXPECT_LE(high, inputs.second);
  });
}

}  // namespace
}  // namespace amct::testing
