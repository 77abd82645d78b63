// Resize, with Upsample and the early versions of Resize normalised onto it.
//
// Before opset 11 there was one rule: coordinates x / scale, and the nearest element rounded down when growing, up when
// shrinking. Where the scales are known on import, that becomes nearest_mode floor or ceil; where they are computed,
// our own value "ceil_when_shrinking" keeps the question open.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/index/resize.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr size_t kRoi = 1, kScales = 2, kSizes = 3;
constexpr const char* kCeilWhenShrinking = "ceil_when_shrinking";

template <typename E>
using Names = std::initializer_list<std::pair<const char*, E>>;

template <typename E>
E choice(const Node& node, std::string_view attr, Names<E> names) {
  const std::string value = attr_string(node, attr);
  std::string known;
  for (const auto& [name, result] : names) {
    if (value == name) return result;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  throw Error(ErrorCode::kInput, fmt::format("{} '{}' is unknown", attr, value), {.node = node.name, .op = node.op},
              "known are " + known);
}

enum class Policy { kStretch, kNotLarger, kNotSmaller };

Policy policy_of(const Node& node) {
  return choice<Policy>(
      node, "keep_aspect_ratio_policy",
      {{"stretch", Policy::kStretch}, {"not_larger", Policy::kNotLarger}, {"not_smaller", Policy::kNotSmaller}});
}

ResizeRule rule_of(const Node& node) {
  ResizeRule rule;
  rule.mode = choice<Interpolation>(
      node, "mode",
      {{"nearest", Interpolation::kNearest}, {"linear", Interpolation::kLinear}, {"cubic", Interpolation::kCubic}});
  rule.coordinates = choice<Coordinates>(node, "coordinate_transformation_mode",
                                         {{"half_pixel", Coordinates::kHalfPixel},
                                          {"half_pixel_symmetric", Coordinates::kHalfPixelSymmetric},
                                          {"pytorch_half_pixel", Coordinates::kPytorchHalfPixel},
                                          {"align_corners", Coordinates::kAlignCorners},
                                          {"asymmetric", Coordinates::kAsymmetric},
                                          {"tf_half_pixel_for_nn", Coordinates::kTfHalfPixelForNn},
                                          {"tf_crop_and_resize", Coordinates::kTfCropAndResize}});
  rule.rounding = choice<NearestRounding>(node, "nearest_mode",
                                          {{"round_prefer_floor", NearestRounding::kRoundPreferFloor},
                                           {"round_prefer_ceil", NearestRounding::kRoundPreferCeil},
                                           {"floor", NearestRounding::kFloor},
                                           {"ceil", NearestRounding::kCeil},
                                           {kCeilWhenShrinking, NearestRounding::kCeilWhenShrinking}});
  rule.antialias = attr_int(node, "antialias") != 0 && rule.mode != Interpolation::kNearest;
  rule.exclude_outside = attr_int(node, "exclude_outside") != 0;
  rule.cubic_a = attr_float(node, "cubic_coeff_a");
  rule.extrapolation = attr_float(node, "extrapolation_value");
  return rule;
}

// The axes that scales, sizes and roi speak of.
std::vector<size_t> targets_of(const Node& node, size_t rank) {
  if (node.attrs.has("axes")) return normalize_axes(node.attrs.require<Ints>("axes"), rank);
  std::vector<size_t> all(rank);
  for (size_t i = 0; i < rank; ++i) all[i] = i;
  return all;
}

[[noreturn]] void reject(const Node& node, std::string message) {
  throw Error(ErrorCode::kInput, std::move(message), {.node = node.name, .op = node.op});
}

void check_count(const Node& node, const char* what, size_t given, size_t expected) {
  if (given != expected) reject(node, fmt::format("{} {} do not fit {} axes", given, what, expected));
}

// The extent that a scale leaves: floor(extent * scale), computed in float like everywhere else, so that shapes agree.
int64_t scaled_extent(const Node& node, int64_t extent, double scale) {
  if (!(scale > 0) || !std::isfinite(scale)) reject(node, fmt::format("a scale of {} is not positive", scale));
  const float result = std::floor(static_cast<float>(extent) * static_cast<float>(scale));
  if (!(result < 0x1p40f)) reject(node, fmt::format("a scale of {} is too large", scale));
  return static_cast<int64_t>(result);
}

// Scale and output extent of every axis. Exactly one of scales and sizes is not null.
std::vector<ResizeAxis> geometry(const Node& node, const Dims& dims, const std::vector<double>* scales,
                                 const Ints* sizes) {
  const std::vector<size_t> targets = targets_of(node, dims.size());
  std::vector<ResizeAxis> axes;
  for (const int64_t extent : dims) axes.push_back({.input = extent, .output = extent});
  if (scales != nullptr) {
    check_count(node, "scales", scales->size(), targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      ResizeAxis& axis = axes[targets[i]];
      axis.scale = (*scales)[i];
      axis.output = scaled_extent(node, axis.input, axis.scale);
    }
    return axes;
  }
  check_count(node, "sizes", sizes->size(), targets.size());
  double smallest = 0, largest = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    ResizeAxis& axis = axes[targets[i]];
    axis.output = (*sizes)[i];
    if (axis.output < 0 || axis.output >= int64_t{1} << 40) {
      reject(node, fmt::format("a size of {} is out of range", axis.output));
    }
    if (axis.input == 0 && axis.output > 0) reject(node, "an empty axis cannot be resized");
    axis.scale = axis.input == 0 ? 1 : static_cast<double>(axis.output) / static_cast<double>(axis.input);
    smallest = i == 0 ? axis.scale : std::min(smallest, axis.scale);
    largest = std::max(largest, axis.scale);
  }
  const Policy policy = policy_of(node);
  if (policy == Policy::kStretch) return axes;
  for (const size_t target : targets) {
    ResizeAxis& axis = axes[target];
    axis.scale = policy == Policy::kNotLarger ? smallest : largest;
    axis.output = static_cast<int64_t>(std::floor(axis.scale * static_cast<double>(axis.input) + 0.5));
  }
  return axes;
}

// True if the input is there; an empty tensor stands for an absent one.
bool given(const InferContext& c, size_t port) {
  return c.has(port) && !(c.shape(port).is_fixed() && c.shape(port).element_count() == 0);
}

void infer_resize(InferContext& c) {
  const Node& node = c.node();
  rule_of(node);
  const Shape& input = c.shape(0);
  if (given(c, kScales) && given(c, kSizes)) c.fail("scales and sizes are both given");
  if (!given(c, kScales) && !given(c, kSizes)) c.fail("neither scales nor sizes are given");
  if (!input.ranked()) return c.set_output(0, c.dtype(0), Shape());
  const Tensor* scales = given(c, kScales) ? c.value(kScales) : nullptr;
  const Tensor* sizes = given(c, kSizes) ? c.value(kSizes) : nullptr;
  const std::vector<size_t> targets = targets_of(node, input.rank());
  Shape shape = input;
  for (const size_t axis : targets) shape[axis] = Dim();
  if (scales != nullptr) {
    const std::vector<double> values = scales->to_doubles();
    check_count(node, "scales", values.size(), targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      const Dim& dim = input[targets[i]];
      if (dim.is_fixed())
        shape[targets[i]] = scaled_extent(node, dim.extent(), values[i]);
      else if (values[i] == 1)
        shape[targets[i]] = dim;
    }
  } else if (sizes != nullptr && input.is_fixed()) {
    const Ints values = sizes->to_int64s();
    const auto axes = geometry(node, *input.fixed(), nullptr, &values);
    for (size_t i = 0; i < axes.size(); ++i) shape[i] = axes[i].output;
  } else if (sizes != nullptr && policy_of(node) == Policy::kStretch) {
    const Ints values = sizes->to_int64s();
    check_count(node, "sizes", values.size(), targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      if (values[i] < 0) c.fail(fmt::format("a size of {} is out of range", values[i]));
      shape[targets[i]] = values[i];
    }
  }
  c.set_output(0, c.dtype(0), shape);
}

std::vector<double> reals_of(const TensorView& view) { return Tensor::copy_of(view).to_doubles(); }

void run_resize(RunContext& c) {
  const Node& node = c.node();
  const Dims dims = logical_input(c, 0);
  const bool by_scale = c.has(kScales) && c.input(kScales).size() > 0;
  const std::vector<double> scales = by_scale ? reals_of(c.input(kScales)) : std::vector<double>();
  const Ints sizes = by_scale ? Ints() : ints_of(c.has(kSizes) ? c.input(kSizes) : TensorView{});
  const auto logical = geometry(node, dims, by_scale ? &scales : nullptr, by_scale ? nullptr : &sizes);
  std::vector<ResizeAxis> axes(logical.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[c.memory_axis(i, axes.size())] = logical[i];
  const ResizeRule rule = rule_of(node);
  if (rule.coordinates == Coordinates::kTfCropAndResize) {
    const std::vector<double> roi = c.has(kRoi) ? reals_of(c.input(kRoi)) : std::vector<double>();
    const std::vector<size_t> targets = targets_of(node, dims.size());
    check_count(node, "bounds of roi", roi.size(), 2 * targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      ResizeAxis& axis = axes[c.memory_axis(targets[i], axes.size())];
      axis.roi_begin = roi[i];
      axis.roi_end = roi[i + targets.size()];
    }
  }
  resize(rule, axes, c.input(0), c.output(0));
}

std::vector<AxisRelation> axes_resize(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  for (size_t axis = 0; axis < input.size(); ++axis) {
    const bool untouched = axis < 2 && input[axis] == c.output(0)[axis];
    if (untouched) {
      add_tie(relations, input[axis], {in_axis(0, axis), out_axis(0, axis)});
    } else {
      relations.push_back(lock(in_axis(0, axis), "its elements are interpolated"));
      relations.push_back(lock(out_axis(0, axis), "its elements are interpolated"));
    }
  }
  return relations;
}

// --- spellings
// ---------------------------------------------------------------------------------------------------------

// Whether constant scales all grow (>= 1) or all shrink (<= 1); both false where they are not known or mixed.
struct Trend {
  bool grows = false;
  bool shrinks = false;
};

Trend trend_of(const Tensor* scales) {
  if (scales == nullptr || scales->size() == 0) return {};
  Trend trend{true, true};
  for (const double scale : scales->to_doubles()) {
    trend.grows = trend.grows && scale >= 1;
    trend.shrinks = trend.shrinks && scale <= 1;
  }
  return trend;
}

void add_legacy(ImportContext& c, ValueId scales, bool upsample) {
  std::string mode = c.attrs().get<std::string>("mode", "nearest");
  if (mode == "bilinear") mode = "linear";
  const Trend trend = trend_of(c.graph().constant(scales));
  const char* rounding = trend.grows || upsample ? "floor" : trend.shrinks ? "ceil" : kCeilWhenShrinking;
  c.add({c.input(0), kNoValue, scales}, {{"mode", mode},
                                         {"coordinate_transformation_mode", std::string("asymmetric")},
                                         {"nearest_mode", std::string(rounding)}});
}

void import_upsample_7(ImportContext& c) {
  const auto scales = c.attrs().require<std::vector<double>>("scales");
  const Dims dims{static_cast<int64_t>(scales.size())};
  add_legacy(c, c.constant("scales", Tensor::of<float>(dims, {scales.begin(), scales.end()})), true);
}
void import_upsample_9(ImportContext& c) { add_legacy(c, c.input(1), true); }
void import_resize_10(ImportContext& c) { add_legacy(c, c.input(1), false); }

// What a version without coordinate modes can say, as its attributes.
Attrs legacy_attrs(ExportContext& c) {
  const Node& node = c.node();
  const ResizeRule rule = rule_of(node);
  const Trend trend = trend_of(c.graph().constant(node.input(kScales)));
  const bool rounds = rule.mode == Interpolation::kLinear || rule.rounding == NearestRounding::kCeilWhenShrinking ||
                      (rule.rounding == NearestRounding::kFloor && trend.grows) ||
                      (rule.rounding == NearestRounding::kCeil && trend.shrinks);
  if (!rounds || rule.mode == Interpolation::kCubic || rule.coordinates != Coordinates::kAsymmetric || rule.antialias ||
      rule.exclude_outside || node.attrs.has("axes") || !node.input(kScales).valid()) {
    c.unsupported(fmt::format("opset {} knows one way of resizing only (scales, asymmetric coordinates)", c.version()));
  }
  return {{"mode", attr_string(node, "mode")}};
}

void export_upsample_7(ExportContext& c) {
  Attrs attrs = legacy_attrs(c);
  const Tensor* scales = c.graph().constant(c.node().input(kScales));
  if (scales == nullptr) c.unsupported("the scales are computed, which needs opset 9");
  attrs.set("scales", scales->to_doubles());
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

void export_scales(ExportContext& c) {
  c.emit({c.value_name(c.node().input(0)), c.value_name(c.node().input(kScales))}, legacy_attrs(c));
}

// The attributes with the rounding of early versions said in words that the standard has.
Attrs standard_attrs(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  const ResizeRule rule = rule_of(c.node());
  if (rule.rounding == NearestRounding::kCeilWhenShrinking) {
    const Trend trend = trend_of(c.graph().constant(c.node().input(kScales)));
    if (rule.mode == Interpolation::kNearest && !trend.grows && !trend.shrinks) {
      c.unsupported("the rounding depends on scales that are computed, which only opset 10 can say");
    }
    attrs.set("nearest_mode", std::string(trend.shrinks && !trend.grows ? "ceil" : "floor"));
  }
  if (rule.coordinates == Coordinates::kTfHalfPixelForNn && c.version() > 12) {
    c.unsupported("coordinate mode 'tf_half_pixel_for_nn' ended with opset 12");
  }
  if (rule.coordinates == Coordinates::kHalfPixelSymmetric && c.version() < 19) {
    c.unsupported("coordinate mode 'half_pixel_symmetric' needs opset 19");
  }
  return attrs;
}

void export_resize(ExportContext& c) { c.emit(input_names(c), standard_attrs(c)); }

void export_resize_11(ExportContext& c) {
  Attrs attrs = standard_attrs(c);
  const bool newer = attr_int(c.node(), "antialias") != 0 || policy_of(c.node()) != Policy::kStretch;
  if (newer || attrs.has("axes")) c.unsupported("antialias, axes and keep_aspect_ratio_policy need opset 18");
  attrs.erase("antialias");
  attrs.erase("keep_aspect_ratio_policy");
  std::vector<std::string> inputs = input_names(c);
  inputs.resize(c.node().input(kSizes).valid() ? 4 : 3);
  if (c.version() < 13) {  // roi and scales were required: an empty tensor says nothing
    for (const size_t port : {kRoi, kScales}) {
      if (inputs[port].empty()) {
        inputs[port] = c.helper_constant(Tensor::of<float>({0}, {}), port == kRoi ? "roi" : "scales");
      }
    }
  }
  c.emit(std::move(inputs), std::move(attrs));
}

// --- samples
// -----------------------------------------------------------------------------------------------------------

std::vector<Sample> resize_samples() {
  const auto scales = [](const std::vector<float>& values) {
    return fixed(Tensor::of<float>({static_cast<int64_t>(values.size())}, values));
  };
  const auto attrs = [](const char* mode, const char* coordinates) {
    return Attrs{{"mode", std::string(mode)}, {"coordinate_transformation_mode", std::string(coordinates)}};
  };
  Attrs floor = attrs("nearest", "asymmetric");
  floor.set("nearest_mode", std::string("floor"));
  Attrs antialias = attrs("linear", "half_pixel");
  antialias.set("antialias", int64_t{1});
  Attrs policy = attrs("linear", "half_pixel");
  policy.set("axes", Ints{2, 3});
  policy.set("keep_aspect_ratio_policy", std::string("not_larger"));
  Attrs outside = attrs("cubic", "half_pixel");
  outside.set("exclude_outside", int64_t{1});
  Attrs crop = attrs("linear", "tf_crop_and_resize");
  crop.set("extrapolation_value", 7.5);
  const SampleInput image = random_input({2, 3, 4, 5});
  const SampleInput none = absent_input();
  return {
      {.name = "nearest_twice", .inputs = {image, none, scales({1, 1, 2, 2})}, .attrs = floor},
      {.name = "nearest_sizes", .inputs = {image, none, none, fixed_ints({2, 3, 7, 3})}},
      {.name = "linear_half_pixel",
       .inputs = {image, none, scales({1, 1, 1.5f, 0.6f})},
       .attrs = attrs("linear", "half_pixel")},
      {.name = "linear_align_corners",
       .inputs = {image, none, none, fixed_ints({2, 3, 7, 9})},
       .attrs = attrs("linear", "align_corners")},
      {.name = "linear_asymmetric",
       .inputs = {image, none, scales({1, 1, 2, 3})},
       .attrs = attrs("linear", "asymmetric")},
      {.name = "linear_pytorch",
       .inputs = {image, none, none, fixed_ints({2, 3, 1, 8})},
       .attrs = attrs("linear", "pytorch_half_pixel")},
      {.name = "cubic", .inputs = {image, none, scales({1, 1, 2, 0.8f})}, .attrs = attrs("cubic", "half_pixel")},
      {.name = "cubic_inside", .inputs = {image, none, scales({1, 1, 2, 2})}, .attrs = outside},
      {.name = "antialias", .inputs = {image, none, none, fixed_ints({2, 3, 3, 2})}, .attrs = antialias},
      {.name = "aspect", .inputs = {image, none, none, fixed_ints({8, 7})}, .attrs = policy},
      {.name = "crop",
       .inputs = {image, scales({0, 0, 0.4f, 0.6f, 1, 1, 1.2f, 1.7f}), none, fixed_ints({2, 3, 3, 4})},
       .attrs = crop},
  };
}

}  // namespace

void add_resize_op(OpTable& table) {
  table.add({.name = "resize",
             .doc = "Changes extents by interpolation.",
             .inputs = {{.name = "X"},
                        {.name = "roi", .role = Role::kParameter, .optional = true},
                        shape_port("scales", true),
                        shape_port("sizes", true)},
             .outputs = {{.name = "Y"}},
             .attrs = {int_attr("antialias", 0), optional_attr("axes", AttrType::kInts),
                       string_attr("coordinate_transformation_mode", "half_pixel"), float_attr("cubic_coeff_a", -0.75),
                       int_attr("exclude_outside", 0), float_attr("extrapolation_value", 0.0),
                       string_attr("keep_aspect_ratio_policy", "stretch"), string_attr("mode", "nearest"),
                       string_attr("nearest_mode", "round_prefer_floor")},
             .infer = infer_resize,
             .timing = ShapeTiming::kFromValues,
             .run = run_resize,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::keep_float("interpolation makes values between those of its input"),
             .axes = axes_resize,
             .spellings = {onnx("Resize", 18, std::numeric_limits<int64_t>::max(), nullptr, export_resize),
                           onnx("Resize", 11, 17, nullptr, export_resize_11),
                           onnx("Resize", 10, 10, import_resize_10, export_scales),
                           onnx("Upsample", 9, 9, import_upsample_9, export_scales),
                           onnx("Upsample", 7, 8, import_upsample_7, export_upsample_7)},
             .samples = resize_samples});
}

}  // namespace amct
