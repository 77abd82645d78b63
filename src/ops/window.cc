#include "ops/window.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace amct {
namespace {

constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();  // keeps products of two entries within int64

[[noreturn]] void fail(const Node& node, std::string message) {
  throw Error(ErrorCode::kInput, std::move(message), {.node = node.name, .op = node.op});
}

// The list attribute `name` with `count` entries in [low, 2^31), or `fallback` in every entry if it is not set.
Dims read_list(const Node& node, std::string_view name, size_t count, int64_t low, int64_t fallback) {
  if (node.row->attr(name) == nullptr || !node.attrs.has(name)) return Dims(count, fallback);
  Dims list = attr_ints(node, name);
  if (list.empty()) return Dims(count, fallback);
  if (list.size() != count) {
    fail(node, fmt::format("attribute '{}' has {} entries; {} are needed", name, list.size(), count));
  }
  for (const int64_t entry : list) {
    if (entry < low || entry > kLargest) fail(node, fmt::format("attribute '{}' is [{}]", name, fmt::join(list, ", ")));
  }
  return list;
}

WindowRule::AutoPad read_auto_pad(const Node& node) {
  if (node.row->attr("auto_pad") == nullptr) return WindowRule::AutoPad::kNone;
  const std::string text = attr_string(node, "auto_pad");
  if (text == "NOTSET" || text.empty()) return WindowRule::AutoPad::kNone;
  if (text == "SAME_UPPER") return WindowRule::AutoPad::kSameUpper;
  if (text == "SAME_LOWER") return WindowRule::AutoPad::kSameLower;
  if (text == "VALID") return WindowRule::AutoPad::kValid;
  fail(node, fmt::format("attribute 'auto_pad' is '{}'", text));
}

int64_t effective_kernel(const WindowRule& rule, size_t axis) {
  return (rule.kernel[axis] - 1) * rule.dilations[axis] + 1;
}

bool is_same(const WindowRule& rule) {
  return rule.auto_pad == WindowRule::AutoPad::kSameUpper || rule.auto_pad == WindowRule::AutoPad::kSameLower;
}

int64_t output_extent(const Node& node, const WindowRule& rule, size_t axis, int64_t input) {
  const int64_t stride = rule.strides[axis];
  if (is_same(rule)) return (input + stride - 1) / stride;
  const int64_t room = input + rule.pads_begin[axis] + rule.pads_end[axis] - effective_kernel(rule, axis);
  if (room < 0) {
    fail(node, fmt::format("its window of {} is larger than the padded input of {} on spatial axis {}",
                           effective_kernel(rule, axis), input + rule.pads_begin[axis] + rule.pads_end[axis], axis));
  }
  if (!rule.ceil_mode) return room / stride + 1;
  const int64_t count = (room + stride - 1) / stride + 1;
  return (count - 1) * stride >= input + rule.pads_begin[axis] ? count - 1 : count;
}

int64_t transposed_extent(const Node& node, const WindowRule& rule, size_t axis, int64_t input) {
  if (!rule.output_shape.empty()) return rule.output_shape[axis];
  const int64_t stride = rule.strides[axis];
  if (is_same(rule)) return input * stride;
  const int64_t extent = stride * (input - 1) + rule.output_padding[axis] + effective_kernel(rule, axis) -
                         rule.pads_begin[axis] - rule.pads_end[axis];
  if (extent < 0) fail(node, fmt::format("its pads take away more than the output has on spatial axis {}", axis));
  return extent;
}

}  // namespace

std::vector<AttrSpec> window_attrs() {
  return {ints_attr("strides"), ints_attr("dilations"), ints_attr("pads"), string_attr("auto_pad", "NOTSET")};
}

WindowRule read_window(const Node& node, Dims kernel) {
  const size_t count = kernel.size();
  if (std::any_of(kernel.begin(), kernel.end(), [](int64_t k) { return k < 1 || k > kLargest; })) {
    fail(node, fmt::format("its kernel is [{}]", fmt::join(kernel, ", ")));
  }
  WindowRule rule;
  rule.kernel = std::move(kernel);
  rule.strides = read_list(node, "strides", count, 1, 1);
  rule.dilations = read_list(node, "dilations", count, 1, 1);
  const Dims pads = read_list(node, "pads", 2 * count, 0, 0);
  rule.auto_pad = read_auto_pad(node);
  const bool explicit_pads = rule.auto_pad == WindowRule::AutoPad::kNone;
  rule.pads_begin = explicit_pads ? Dims(pads.begin(), pads.begin() + static_cast<int64_t>(count)) : Dims(count, 0);
  rule.pads_end = explicit_pads ? Dims(pads.begin() + static_cast<int64_t>(count), pads.end()) : Dims(count, 0);
  if (node.row->attr("ceil_mode") != nullptr) rule.ceil_mode = attr_int(node, "ceil_mode") != 0;
  rule.output_padding = read_list(node, "output_padding", count, 0, 0);
  if (node.row->attr("output_shape") != nullptr && !attr_ints(node, "output_shape").empty()) {
    Dims shape = attr_ints(node, "output_shape");
    if (shape.size() == count + 2) shape.erase(shape.begin(), shape.begin() + 2);  // some files give N and C as well
    if (shape.size() != count || std::any_of(shape.begin(), shape.end(), [](int64_t e) { return e < 1; })) {
      fail(node, fmt::format("attribute 'output_shape' is [{}]", fmt::join(shape, ", ")));
    }
    rule.output_shape = std::move(shape);
  }
  return rule;
}

Dims window_outputs(const Node& node, const WindowRule& rule, std::span<const int64_t> spatial) {
  Dims result;
  for (size_t i = 0; i < spatial.size(); ++i) result.push_back(output_extent(node, rule, i, spatial[i]));
  return result;
}

std::vector<Dim> window_dims(const Node& node, const WindowRule& rule, std::span<const Dim> spatial, bool transposed) {
  std::vector<Dim> result;
  for (size_t i = 0; i < spatial.size(); ++i) {
    if (!spatial[i].is_fixed()) {
      const bool unchanged = is_same(rule) && rule.strides[i] == 1 && rule.output_shape.empty();
      result.push_back(transposed && !rule.output_shape.empty() ? Dim(rule.output_shape[i])
                       : unchanged                              ? spatial[i]
                                                                : Dim());
    } else if (transposed) {
      result.emplace_back(transposed_extent(node, rule, i, spatial[i].extent()));
    } else {
      result.emplace_back(output_extent(node, rule, i, spatial[i].extent()));
    }
  }
  return result;
}

dnn::Window resolve_window(const WindowRule& rule, std::span<const int64_t> spatial, bool transposed) {
  dnn::Window window{rule.kernel, rule.strides, rule.dilations, rule.pads_begin, rule.pads_end};
  const bool from_shape = transposed && !rule.output_shape.empty();
  if (!is_same(rule) && !from_shape) return window;
  for (size_t i = 0; i < spatial.size(); ++i) {
    const int64_t stride = rule.strides[i];
    const int64_t kernel = effective_kernel(rule, i);
    int64_t total = 0;
    if (transposed) {
      const int64_t output = from_shape ? rule.output_shape[i] : spatial[i] * stride;
      total = stride * (spatial[i] - 1) + rule.output_padding[i] + kernel - output;
    } else {
      total = ((spatial[i] + stride - 1) / stride - 1) * stride + kernel - spatial[i];
    }
    total = std::max<int64_t>(total, 0);
    // An odd pad more goes to the end for SAME_UPPER; to the beginning for SAME_LOWER and a bare output_shape.
    const bool more_at_end = rule.auto_pad == WindowRule::AutoPad::kSameUpper;
    window.pads_begin[i] = more_at_end ? total / 2 : total - total / 2;
    window.pads_end[i] = total - window.pads_begin[i];
  }
  return window;
}

}  // namespace amct
