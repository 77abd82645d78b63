// Clip and PReLU: an activation limited or bent by parameters that are inputs.
//
// Before opset 11 the bounds of Clip are attributes; they become constants of type float32, so that bounds of another
// type than the data are converted when they are read.
#include <limits>

#include "ops/elementwise.h"

namespace amct {
namespace {

constexpr int64_t kBoundsAreInputs = 11;

struct Bound {
  size_t port;
  const char* name;
  double none;  // the value that does not limit
};
constexpr Bound kLow{1, "min", -std::numeric_limits<double>::infinity()};
constexpr Bound kHigh{2, "max", std::numeric_limits<double>::infinity()};

void infer_clip(InferContext& c) {
  expect_type(c, 0, is_number_type);
  for (const Bound& bound : {kLow, kHigh}) {
    expect_type(c, bound.port, is_number_type);
    expect_single(c, bound.port);
  }
  infer_same_as_first(c);
}

// A bound in the type of the data; `none` if it is absent.
template <typename T>
Compute<T> read_bound(const RunContext& c, size_t port, Compute<T> none) {
  if (!c.has(port)) return none;
  Compute<T> bound{};
  visit_numbers(c.input(port).dtype, [&]<typename B>(Tag<B>) {
    bound = static_cast<Compute<T>>(static_cast<Compute<B>>(*c.input(port).as<B>()));
  });
  return bound;
}

void run_clip(RunContext& c) {
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    using C = Compute<T>;
    using Limits = std::numeric_limits<C>;
    const C low = read_bound<T>(c, kLow.port, Limits::has_infinity ? -Limits::infinity() : Limits::lowest());
    const C high = read_bound<T>(c, kHigh.port, Limits::has_infinity ? Limits::infinity() : Limits::max());
    if constexpr (std::is_same_v<T, float>) {
      float_unary(FloatUnary::kClip, c.input(0).as<float>(), c.output(0).as<float>(),
                  static_cast<size_t>(c.output(0).size()), low, high);
    } else {
      map_elements<T, T>(c, [=](C x) {
        const C raised = x < low ? low : x;
        return raised > high ? high : raised;
      });
    }
  });
}

std::optional<Epilogue> absorb_clip(const AbsorbQuery& q) {
  if (q.through != 0) return std::nullopt;
  Epilogue epilogue{
      .kind = Epilogue::Kind::kClip, .alpha = static_cast<float>(kLow.none), .beta = static_cast<float>(kHigh.none)};
  for (const Bound& bound : {kLow, kHigh}) {
    const ValueId id = q.node.input(bound.port);
    if (!id.valid()) continue;
    const Tensor* tensor = q.graph.constant(id);
    if (tensor == nullptr || tensor->size() != 1) return std::nullopt;
    (bound.port == kLow.port ? epilogue.alpha : epilogue.beta) = static_cast<float>(tensor->to_doubles()[0]);
  }
  return epilogue;
}

void import_clip_attributes(ImportContext& c) {
  std::vector<ValueId> inputs = {c.input(0), kNoValue, kNoValue};
  for (const auto& [name, value] : c.attrs().items()) {
    if (name == "consumed_inputs") continue;
    if (name != kLow.name && name != kHigh.name) c.unsupported("attribute '" + name + "' is not known");
    const auto number = static_cast<float>(c.attrs().require<double>(name));
    inputs[name == kLow.name ? kLow.port : kHigh.port] = c.constant(name, Tensor::scalar(number));
  }
  c.add(std::move(inputs), {});
}

void export_clip_attributes(ExportContext& c) {
  Attrs attrs;
  for (const Bound& bound : {kLow, kHigh}) {
    const ValueId id = c.node().input(bound.port);
    if (!id.valid()) continue;
    const Tensor* tensor = c.graph().constant(id);
    if (tensor == nullptr) c.unsupported("a computed bound needs opset 11");
    attrs.set(bound.name, tensor->to_doubles().at(0));
  }
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

void export_clip(ExportContext& c) {
  std::vector<std::string> inputs;
  const DType data = c.graph().value(c.node().input(0)).type.dtype;
  for (const ValueId id : c.node().inputs) {
    const Tensor* bound = inputs.empty() || !id.valid() ? nullptr : c.graph().constant(id);
    const bool differs = bound != nullptr && data != DType::kUndefined && bound->dtype() != data;
    inputs.push_back(differs ? c.helper_constant(bound->cast(data), inputs.size() == kLow.port ? "min" : "max")
                             : c.value_name(id));
  }
  c.emit(std::move(inputs), {});
}

std::vector<Sample> clip_samples() {
  const SampleInput low = fixed(Tensor::scalar(-0.5f));
  const SampleInput high = fixed(Tensor::scalar(1.25f));
  return {
      {.name = "both", .inputs = {random_input({2, 5, 3, 7}, -3, 3), low, high}},
      {.name = "only_min", .inputs = {random_input({3, 7}, -3, 3), low}},
      {.name = "only_max", .inputs = {random_input({3, 7}, -3, 3), absent_input(), high}},
      {.name = "no_bounds", .inputs = {random_input({3, 7}, -3, 3)}},
      {.name = "crossed", .inputs = {random_input({3, 7}, -3, 3), high, low}},
      {.name = "computed", .inputs = {random_input({2, 3, 5}, -3, 3), random_input({}, -1, 0), random_input({}, 0, 1)}},
      {.name = "int8",
       .inputs = {random_input({3, 7}, -90, 90, DType::kInt8), fixed(Tensor::scalar<int8_t>(-7)),
                  fixed(Tensor::scalar<int8_t>(31))}},
      {.name = "int64", .inputs = {random_input({3, 7}, -90, 90, DType::kInt64), fixed(Tensor::scalar<int64_t>(-7))}},
      {.name = "float64", .inputs = {random_input({3, 7}, -3, 3, DType::kFloat64), fixed(Tensor::scalar(-0.5))}}};
}

void infer_prelu(InferContext& c) {
  expect_type(c, 0, is_number_type);
  expect_same_types(c);
  infer_broadcast(c);
  if (c.shape(0).ranked() && c.shape(1).ranked() && c.outputs()[0].shape.rank() > c.shape(0).rank()) {
    c.fail("the slope has more axes than the activation");
  }
  const auto fixed_output = c.outputs()[0].shape.fixed();
  const auto fixed_input = c.shape(0).fixed();
  if (fixed_output && fixed_input && *fixed_output != *fixed_input) c.fail("the slope is larger than the activation");
  infer_same_as_first(c);
}

void run_prelu(RunContext& c) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    const T* x = c.input(0).as<T>();
    const T* slope = c.input(1).as<T>();
    if constexpr (std::is_same_v<T, float>) {
      run_float_binary(plan, FloatBinary::kPrelu, x, slope, c.output(0).as<T>());
    } else if constexpr (kIsFloatType<T>) {
      broadcast_binary(plan, x, slope, c.output(0).as<T>(), [](auto a, auto b) { return a < 0 ? a * b : a; });
    } else {
      broadcast_binary(plan, x, slope, c.output(0).as<T>(),
                       [](T a, T b) { return a < 0 ? static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b)) : a; });
    }
  });
}

// Before opset 7 the slope is one number, or one per channel (axis 1) whatever the rank.
void import_prelu_per_channel(ImportContext& c) {
  if (c.foreign().inputs.size() != 2) c.fail("PRelu takes an activation and a slope");
  const Tensor* slope = c.graph().constant(c.input(1));
  if (slope == nullptr) c.unsupported("a computed slope needs opset 7");
  const Shape& shape = c.type(0).shape;
  const size_t rank = shape.ranked() ? shape.rank() : infer_types(c.graph()).types[c.input(0).index].shape.rank();
  if (slope->size() == 1 || slope->rank() != 1 || rank <= 2) return static_cast<void>(c.add(c.foreign().inputs, {}));
  Dims dims(rank - 1, 1);
  dims[0] = slope->size();
  c.add({c.input(0), c.constant("slope", slope->reshaped(std::move(dims)))}, {});
}

void export_prelu_per_channel(ExportContext& c) {
  const Tensor* slope = c.graph().constant(c.node().input(1));
  const Shape& data = c.graph().value(c.node().input(0)).type.shape;
  const bool per_channel = slope != nullptr && data.ranked() && data.rank() >= 2 && slope->rank() == data.rank() - 1 &&
                           slope->size() == slope->dims()[0];
  if (slope == nullptr || (slope->size() != 1 && !per_channel)) {
    c.unsupported("a slope that is not one number a channel needs opset 7");
  }
  const std::string name = slope->rank() == 1 ? c.value_name(c.node().input(1))
                                              : c.helper_constant(slope->reshaped({slope->size()}), "slope");
  c.emit({c.value_name(c.node().input(0)), name}, {});
}

std::vector<Sample> prelu_samples() {
  return {{.name = "per_channel", .inputs = {random_input({2, 5, 3, 7}), random_weight({5, 1, 1}, -0.5, 0.5)}},
          {.name = "one_slope", .inputs = {random_input({3, 7}), random_weight({1}, -0.5, 0.5)}},
          {.name = "elementwise", .inputs = {random_input({2, 3, 5}), random_weight({3, 5}, -0.5, 0.5)}},
          {.name = "float64",
           .inputs = {random_input({2, 5, 3}, -1, 1, DType::kFloat64), random_weight({5, 1}, -1, 1, DType::kFloat64)}},
          skip_in_onnx_runtime(
              {.name = "int32",
               .inputs = {random_input({2, 5, 3}, -9, 9, DType::kInt32), random_weight({5, 1}, -3, 3, DType::kInt32)}},
              "ONNX Runtime has no kernel of this type")};
}

OpRow clip_row() {
  const Spelling as_attributes = onnx("Clip", 1, kBoundsAreInputs - 1, import_clip_attributes, export_clip_attributes);
  const Spelling as_inputs = onnx("Clip", kBoundsAreInputs, std::numeric_limits<int64_t>::max(), nullptr, export_clip);
  return {.name = "clip",
          .doc = "Limits values to a range.",
          .inputs = {{"x"}, {"min", Role::kParameter, true}, {"max", Role::kParameter, true}},
          .outputs = {{"y"}},
          .infer = infer_clip,
          .run = run_clip,
          .layout = LayoutRule::kFollow,
          .absorb_into = absorb_clip,
          .in_place = true,
          .quant = QuantRule::keep_float("an activation function: it runs on the values of the layer before it"),
          .axes = axes_elementwise,
          .spellings = {as_attributes, as_inputs},
          .samples = clip_samples};
}

OpRow prelu_row() {
  return {.name = "prelu",
          .doc = "Linear unit with learned slopes below zero.",
          .inputs = {{"x"}, {.name = "slope", .role = Role::kParameter, .broadcasts = true}},
          .outputs = {{"y"}},
          .infer = infer_prelu,
          .run = run_prelu,
          .layout = LayoutRule::kFollow,
          .in_place = true,
          .quant = QuantRule::keep_float("an activation function: it runs on the values of the layer before it"),
          .axes = axes_elementwise,
          .spellings = {onnx("PRelu", 1, 6, import_prelu_per_channel, export_prelu_per_channel), onnx("PRelu", 7)},
          .samples = prelu_samples};
}

}  // namespace

void add_clip_op(OpTable& table) {
  table.add(clip_row());
  table.add(prelu_row());
}

}  // namespace amct
