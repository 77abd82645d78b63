// NonMaxSuppression: per batch and class, the boxes in order of their scores, without those that overlap a better one.
//
// A box is dropped when its intersection with a selected one, over their union, exceeds iou_threshold. Results are
// (batch, class, box), the boxes of one class in order of falling scores, equal scores in order of their index.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "ops/input_checks.h"
#include "ops/movement.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  for (const size_t port : {0, 1}) {
    expect_type(c, port, is_float32_type);
    if (c.shape(port).ranked() && c.shape(port).rank() != 3) {
      c.fail(fmt::format("input {} has rank {}; 3 is needed", port, c.shape(port).rank()));
    }
  }
  expect_type(c, 2, is_integer_type);
  for (const size_t port : {3, 4}) expect_type(c, port, is_float32_type);
  for (const size_t port : {2, 3, 4}) expect_single(c, port);
  const Shape& boxes = c.shape(0);
  const Shape& scores = c.shape(1);
  if (boxes.ranked() && boxes[2].is_fixed() && boxes[2].extent() != 4) {
    c.fail(fmt::format("its boxes have shape {}; the last axis must have 4 entries", boxes.to_string()));
  }
  const auto differ = [](const Dim& a, const Dim& b) { return a.is_fixed() && b.is_fixed() && a != b; };
  if (boxes.ranked() && scores.ranked() && (differ(boxes[0], scores[0]) || differ(boxes[1], scores[2]))) {
    c.fail(fmt::format("its boxes {} and scores {} do not fit", boxes.to_string(), scores.to_string()));
  }
  c.set_output(0, DType::kInt64, Shape({Dim(), Dim(3)}));
}

struct Box {
  float low_y, low_x, high_y, high_x;
  float area() const { return (high_y - low_y) * (high_x - low_x); }
};

Box box_of(const float* corners, bool centre) {
  if (centre) {
    const float half_width = corners[2] / 2, half_height = corners[3] / 2;
    return {corners[1] - half_height, corners[0] - half_width, corners[1] + half_height, corners[0] + half_width};
  }
  const auto [low_y, high_y] = std::minmax(corners[0], corners[2]);
  const auto [low_x, high_x] = std::minmax(corners[1], corners[3]);
  return {low_y, low_x, high_y, high_x};
}

bool overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.high_y, b.high_y) - std::max(a.low_y, b.low_y);
  const float width = std::min(a.high_x, b.high_x) - std::max(a.low_x, b.low_x);
  if (height <= 0 || width <= 0 || a.area() <= 0 || b.area() <= 0) return false;
  const float common = height * width;
  return common / (a.area() + b.area() - common) > threshold;
}

struct Limits {
  int64_t count = 0;  // boxes a class
  float overlap = 0;
  std::optional<float> score;
};

Limits limits_of(const RunContext& c) {
  Limits limits;
  if (c.has(2)) limits.count = std::max<int64_t>(ints_of(c.input(2)).at(0), 0);
  if (c.has(3)) limits.overlap = *c.input(3).as<float>();
  if (c.has(4)) limits.score = *c.input(4).as<float>();
  if (!(limits.overlap >= 0 && limits.overlap <= 1)) {
    throw Error(ErrorCode::kInput, fmt::format("iou_threshold is {}; 0 to 1 is needed", limits.overlap),
                {.node = c.node().name, .op = c.node().op});
  }
  return limits;
}

std::vector<int64_t> select(const std::vector<Box>& boxes, const float* scores, const Limits& limits) {
  std::vector<int64_t> order;
  for (size_t i = 0; i < boxes.size(); ++i) {
    if (!limits.score || scores[i] > *limits.score) order.push_back(static_cast<int64_t>(i));
  }
  const auto rank = [&](int64_t i) {
    return scores[i] != scores[i] ? -std::numeric_limits<float>::infinity() : scores[i];
  };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return rank(a) > rank(b); });
  std::vector<int64_t> kept;
  for (const int64_t candidate : order) {
    if (static_cast<int64_t>(kept.size()) >= limits.count) break;
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](int64_t better) {
      return overlap(boxes[static_cast<size_t>(candidate)], boxes[static_cast<size_t>(better)], limits.overlap);
    });
    if (!covered) kept.push_back(candidate);
  }
  return kept;
}

void run(RunContext& c) {
  const Dims& dims = c.input(1).dims;  // batch, class, box
  const Limits limits = limits_of(c);
  const bool centre = attr_int(c.node(), "center_point_box") != 0;
  std::vector<int64_t> result;
  for (int64_t n = 0; n < dims[0]; ++n) {
    std::vector<Box> boxes;
    for (int64_t i = 0; i < dims[2]; ++i)
      boxes.push_back(box_of(c.input(0).as<float>() + (n * dims[2] + i) * 4, centre));
    for (int64_t k = 0; k < dims[1]; ++k) {
      const float* scores = c.input(1).as<float>() + (n * dims[1] + k) * dims[2];
      for (const int64_t box : select(boxes, scores, limits)) result.insert(result.end(), {n, k, box});
    }
  }
  const MutableView out = c.allocate_output(0, DType::kInt64, {static_cast<int64_t>(result.size()) / 3, 3});
  std::copy(result.begin(), result.end(), out.as<int64_t>());
}

std::vector<Sample> samples() {
  const auto number = [](float value) { return fixed(Tensor::scalar(value)); };
  return {
      {.name = "two_classes",
       .inputs = {random_input({2, 17, 4}, 0, 1), random_input({2, 3, 17}, 0, 1), fixed_ints({4}), number(0.3f),
                  number(0.2f)}},
      {.name = "no_score_threshold",
       .inputs = {random_input({1, 23, 4}, 0, 1), random_input({1, 1, 23}, 0, 1), fixed_ints({30}), number(0.1f)}},
      {.name = "centre_boxes",
       .inputs = {random_input({1, 19, 4}, 0.2, 1), random_input({1, 2, 19}, 0, 1), fixed_ints({5}), number(0.4f)},
       .attrs = {{"center_point_box", int64_t{1}}}},
      {.name = "none_wanted", .inputs = {random_input({1, 3, 4}, 0, 1), random_input({1, 1, 3}, 0, 1)}},
  };
}

}  // namespace

void add_non_max_suppression_op(OpTable& table) {
  table.add({.name = "non_max_suppression",
             .doc = "Selects boxes by falling score and drops those that overlap a selected one.",
             .inputs = {{"boxes"},
                        {"scores"},
                        {"max_output_boxes_per_class", Role::kParameter, true},
                        {"iou_threshold", Role::kParameter, true},
                        {"score_threshold", Role::kParameter, true}},
             .outputs = {{"selected_indices"}},
             .attrs = {int_attr("center_point_box", 0)},
             .infer = infer,
             .timing = ShapeTiming::kFromData,
             .run = run,
             .quant = QuantRule::keep_float("its results are indices"),
             .axes = axes_none,
             .spellings = {onnx("NonMaxSuppression", 10)},
             .samples = samples});
}

}  // namespace amct
