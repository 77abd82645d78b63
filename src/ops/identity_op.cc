// Identity and dropout, which at inference passes its input on.
//
// Before opset 10 the mask of dropout has the type of the data; attribute `mask_as_data` keeps that. Before opset 12
// the ratio is an attribute; it becomes a constant input.
#include <algorithm>
#include <cstring>
#include <limits>

#include "ops/elementwise.h"

namespace amct {
namespace {

constexpr int64_t kAlwaysInferenceOpset = 7;
constexpr int64_t kBoolMaskOpset = 10;
constexpr int64_t kRatioIsInputOpset = 12;

Tensor truth_value(bool value) { return Tensor::copy_of(DType::kBool, {}, std::as_bytes(std::span(&value, 1))); }

void copy_input(RunContext& c) {
  const TensorView& from = c.input(0);
  const MutableView& to = c.output(0);
  if (from.data != to.data && from.bytes() != 0) std::memcpy(to.data, from.data, from.bytes());
}

void infer_dropout(InferContext& c) {
  expect_type(c, 0, is_float_type);
  expect_type(c, 1, is_float_type);
  expect_type(c, 2, is_bool_type);
  for (const size_t port : {1, 2}) expect_single(c, port);
  infer_same_as_first(c);
  const bool as_data = attr_int(c.node(), "mask_as_data") != 0;
  c.set_output(1, as_data ? c.dtype(0) : DType::kBool, c.shape(0));
}

bool trains(const RunContext& c) {
  if (!c.has(2) || !*c.input(2).as<bool>()) return false;
  if (!c.has(1)) return true;
  bool drops = true;
  visit_floats(c.input(1).dtype,
               [&]<typename T>(Tag<T>) { drops = static_cast<Compute<T>>(*c.input(1).as<T>()) != 0; });
  return drops;
}

void run_dropout(RunContext& c) {
  if (trains(c)) {
    throw Error(ErrorCode::kUnsupported, "random number generators are refused: results cannot be compared",
                {.node = c.node().name, .op = c.node().op}, "export the model for inference");
  }
  copy_input(c);
  if (!c.wants(1)) return;
  const MutableView& mask = c.output(1);
  visit_numeric(mask.dtype,
                [&]<typename T>(Tag<T>) { std::fill_n(mask.as<T>(), mask.size(), static_cast<T>(Compute<T>{1})); });
}

void import_dropout_attributes(ImportContext& c) {
  std::vector<ValueId> inputs = {c.input(0)};
  Attrs attrs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (name == "ratio") {
      inputs.push_back(c.constant("ratio", Tensor::scalar(static_cast<float>(c.attrs().require<double>("ratio")))));
    } else if (name != "is_test" && name != "consumed_inputs") {
      c.unsupported("attribute '" + name + "' is not known");
    }
  }
  if (c.version() < kAlwaysInferenceOpset && c.attrs().get<int64_t>("is_test", 0) == 0) {
    inputs.resize(2, kNoValue);
    inputs.push_back(c.constant("training_mode", truth_value(true)));
  }
  if (c.version() < kBoolMaskOpset) attrs.set("mask_as_data", int64_t{1});
  c.add(std::move(inputs), std::move(attrs));
}

void check_mask(ExportContext& c) {
  const ValueId mask = c.node().output(1);
  const bool used = mask.valid() && (!c.graph().value(mask).uses.empty() || c.graph().is_output(mask));
  const bool as_data = attr_int(c.node(), "mask_as_data") != 0;
  if (used && as_data != (c.version() < kBoolMaskOpset)) {
    c.unsupported("the type of a dropout mask changed with opset 10, and this mask is used");
  }
}

void export_dropout_attributes(ExportContext& c) {
  check_mask(c);
  Attrs attrs;
  if (const ValueId ratio = c.node().input(1); ratio.valid()) {
    const Tensor* tensor = c.graph().constant(ratio);
    if (tensor == nullptr) c.unsupported("a computed dropout ratio needs opset 12");
    attrs.set("ratio", tensor->to_doubles().at(0));
  }
  const Tensor* mode = c.graph().constant(c.node().input(2));
  const bool trains = c.node().input(2).valid() && (mode == nullptr || mode->to_int64s().at(0) != 0);
  if (trains && c.version() >= kAlwaysInferenceOpset) c.unsupported("a dropout in training mode needs opset 12");
  if (!trains && c.version() < kAlwaysInferenceOpset) attrs.set("is_test", int64_t{1});
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

void export_dropout(ExportContext& c) {
  check_mask(c);
  Attrs attrs = c.node().attrs;
  attrs.erase("mask_as_data");
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<Sample> identity_samples() {
  std::vector<Sample> samples = float_samples(-2, 2);
  for (const DType dtype : {DType::kInt64, DType::kUInt8, DType::kBool}) {
    samples.push_back(unary_sample(std::string(name_of(dtype)), {3, 1, 7}, 0, 1, dtype));
  }
  return samples;
}

std::vector<Sample> dropout_samples() {
  std::vector<Sample> samples = float_samples(-2, 2);
  const SampleInput ratio = fixed(Tensor::scalar(0.25f));
  samples.push_back({.name = "ratio", .inputs = {random_input({2, 5, 3}), ratio}});
  samples.push_back({.name = "mask", .inputs = {random_input({2, 5, 3}), ratio}, .outputs = 2});
  samples.push_back({.name = "mode", .inputs = {random_input({2, 5, 3}), ratio, fixed(truth_value(false))}});
  return samples;
}

OpRow identity_row() {
  return {.name = "identity",
          .doc = "The input itself.",
          .inputs = {{"x"}},
          .outputs = {{"y"}},
          .infer = infer_same_as_first,
          .run = copy_input,
          .layout = LayoutRule::kFollow,
          .in_place = true,
          .quant = QuantRule::pass_through(),
          .axes = axes_elementwise,
          .spellings = onnx_since("Identity"),
          .samples = identity_samples};
}

}  // namespace

void add_identity_op(OpTable& table) {
  table.add(identity_row());
  OpRow dropout = identity_row();
  dropout.name = "dropout";
  dropout.doc = "The input itself at inference; drops elements in training.";
  dropout.inputs = {{"data"}, {"ratio", Role::kParameter, true}, {"training_mode", Role::kParameter, true}};
  dropout.outputs = {{"output"}, {.name = "mask", .optional = true}};
  dropout.attrs = {optional_attr("seed", AttrType::kInt), int_attr("mask_as_data", 0)};
  dropout.infer = infer_dropout;
  dropout.run = run_dropout;
  dropout.axes = axes_all_outputs;
  dropout.spellings = {
      onnx("Dropout", 1, kRatioIsInputOpset - 1, import_dropout_attributes, export_dropout_attributes),
      onnx("Dropout", kRatioIsInputOpset, std::numeric_limits<int64_t>::max(), nullptr, export_dropout)};
  dropout.samples = dropout_samples;
  table.add(std::move(dropout));
}

}  // namespace amct
