// HannWindow, HammingWindow, BlackmanWindow and MelWeightMatrix: the tables of spectral analysis.
//
// A window of size n is w[k] = a0 - a1 cos(2 pi k / m) + a2 cos(4 pi k / m) with m = n if periodic, else n - 1.
// The mel matrix (dft_length / 2 + 1, bins) holds triangular filters whose edges are equally spaced in mel,
//   mel(f) = 2595 log10(1 + f / 700),
// from the lower to the upper edge in bins + 2 steps, rounded down to frequencies of the transform.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/elementwise.h"
#include "ops/movement.h"
#include "ops/onnx_types.h"

namespace amct {
namespace {

constexpr const char* kNotComputed = "its result is made by a rule, not from activations";
constexpr int64_t kMaxExtent = int64_t{1} << 32;

struct Member {
  const char* name;
  const char* type;
  const char* doc;
  double a0, a1, a2;
};

constexpr Member kMembers[] = {
    {"hann_window", "HannWindow", "The Hann window.", 0.5, 0.5, 0},
    {"hamming_window", "HammingWindow", "The Hamming window.", 25.0 / 46, 21.0 / 46, 0},
    {"blackman_window", "BlackmanWindow", "The Blackman window.", 0.42, 0.5, 0.08},
};

const Member& member_of(const Node& node) {
  return *std::find_if(std::begin(kMembers), std::end(kMembers), [&](const Member& m) { return node.op == m.name; });
}

DType asked_type(const InferContext& c) {
  const int64_t code = attr_int(c.node(), "output_datatype");
  const auto dtype = dtype_from_onnx(code);
  if (!dtype || !is_number_type(*dtype)) c.fail(fmt::format("output_datatype {} is no type of numbers", code));
  return *dtype;
}

// The one integer of an input whose value is known.
std::optional<int64_t> single(const InferContext& c, size_t port, const char* what, int64_t low) {
  expect_type(c, port, [](DType dtype) { return dtype == DType::kInt32 || dtype == DType::kInt64; });
  const auto values = c.ints(port);
  if (!values) return std::nullopt;
  if (values->size() != 1 || (*values)[0] < low || (*values)[0] > kMaxExtent) {
    c.fail(fmt::format("{} {} is not one number from {} on", what, to_string(*values), low));
  }
  return (*values)[0];
}

void infer_window(InferContext& c) {
  Shape shape = Shape::of_rank(1);
  if (const auto size = single(c, 0, "the size", 0)) shape[0] = *size;
  c.set_output(0, asked_type(c), shape);
}

template <typename T>
T rounded(double value) {
  return static_cast<T>(static_cast<Compute<T>>(value));
}

void run_window(RunContext& c) {
  const Member& w = member_of(c.node());
  const int64_t size = c.output(0).size();
  const double period = static_cast<double>(attr_int(c.node(), "periodic") != 0 ? size : size - 1);
  visit_numbers(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    for (int64_t k = 0; k < size; ++k) {
      const double angle = period == 0 ? 0 : 2 * std::numbers::pi * static_cast<double>(k) / period;
      const double value = period == 0 ? 1 : w.a0 - w.a1 * std::cos(angle) + w.a2 * std::cos(2 * angle);
      c.output(0).as<T>()[k] = rounded<T>(value);
    }
  });
}

double number_of(const TensorView& view) { return Tensor::copy_of(view).to_doubles().at(0); }

void infer_mel(InferContext& c) {
  Shape shape = Shape::of_rank(2);
  if (const auto length = single(c, 1, "the DFT length", 0)) shape[0] = *length / 2 + 1;
  if (const auto bins = single(c, 0, "the number of mel bins", 0)) shape[1] = *bins;
  single(c, 2, "the sample rate", 1);
  for (const size_t port : {3u, 4u}) {
    expect_type(c, port, is_float_type);
    if (c.shape(port).is_fixed() && c.shape(port).element_count() != 1) c.fail("an edge is not one frequency");
  }
  c.set_output(0, asked_type(c), shape);
}

// The bins + 2 corners of the triangles, as rows of the matrix.
std::vector<int64_t> mel_corners(const RunContext& c, int64_t rows, int64_t bins) {
  const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double low = mel(number_of(c.input(3)));
  const double step = (mel(number_of(c.input(4))) - low) / static_cast<double>(bins + 2);
  std::vector<int64_t> corners;
  for (int64_t i = 0; i < bins + 2; ++i) {
    const double hertz = 700 * (std::pow(10, (static_cast<double>(i) * step + low) / 2595) - 1);
    const double row = std::floor((number_of(c.input(1)) + 1) * hertz / number_of(c.input(2)));
    if (!(row >= 0 && row < static_cast<double>(rows))) {
      throw Error(ErrorCode::kInput, fmt::format("the mel edge at {} Hz is outside the spectrum", hertz),
                  {.node = c.node().name, .op = c.node().op}, "the upper edge must be below half the sample rate");
    }
    corners.push_back(static_cast<int64_t>(row));
  }
  return corners;
}

void run_mel(RunContext& c) {
  const int64_t rows = c.output(0).dims[0], bins = c.output(0).dims[1];
  const std::vector<int64_t> corners = mel_corners(c, rows, bins);
  visit_numbers(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    T* out = c.output(0).as<T>();
    std::fill_n(out, rows * bins, rounded<T>(0));
    for (int64_t bin = 0; bin < bins; ++bin) {
      const int64_t left = corners[static_cast<size_t>(bin)], center = corners[static_cast<size_t>(bin) + 1];
      const int64_t right = corners[static_cast<size_t>(bin) + 2];
      if (left >= center) out[center * bins + bin] = rounded<T>(1);
      for (int64_t row = left; left < center && row <= center; ++row) {
        out[row * bins + bin] = rounded<T>(static_cast<double>(row - left) / static_cast<double>(center - left));
      }
      for (int64_t row = center; row < right; ++row) {
        out[row * bins + bin] = rounded<T>(static_cast<double>(right - row) / static_cast<double>(right - center));
      }
    }
  });
}

SampleInput scalar(int64_t value) { return fixed(Tensor::scalar<int64_t>(value)); }
SampleInput hertz(float value) { return fixed(Tensor::scalar<float>(value)); }

std::vector<Sample> window_samples() {
  return {
      {.name = "periodic", .inputs = {scalar(11)}},
      {.name = "symmetric", .inputs = {scalar(10)}, .attrs = {{"periodic", int64_t{0}}}},
      {.name = "double", .inputs = {fixed(Tensor::scalar<int32_t>(7))}, .attrs = {{"output_datatype", int64_t{11}}}},
      {.name = "single",
       .inputs = {scalar(1)},
       .attrs = {{"periodic", int64_t{0}}},
       .skip_onnx_runtime = true,
       .reason = "a symmetric window of one element is 1, where the others divide by 0"}};
}

std::vector<Sample> mel_samples() {
  return {{.name = "speech", .inputs = {scalar(8), scalar(64), scalar(8192), hertz(0), hertz(4096)}},
          {.name = "low_band",
           .inputs = {scalar(13), scalar(33), scalar(16000), hertz(125), hertz(3800)},
           .attrs = {{"output_datatype", int64_t{11}}}}};
}

}  // namespace

void add_window_function_op(OpTable& table) {
  for (const Member& member : kMembers) {
    table.add({.name = member.name,
               .doc = member.doc,
               .inputs = {shape_port("size")},
               .outputs = {{.name = "output"}},
               .attrs = {int_attr("output_datatype", 1), int_attr("periodic", 1)},
               .infer = infer_window,
               .timing = ShapeTiming::kFromValues,
               .run = run_window,
               .quant = QuantRule::keep_float(kNotComputed),
               .axes = axes_none,
               .spellings = onnx_since(member.type, 17),
               .samples = window_samples});
  }
  table.add({.name = "mel_weight_matrix",
             .doc = "Triangular filters that turn a spectrum into mel bins.",
             .inputs = {shape_port("num_mel_bins"),
                        shape_port("dft_length"),
                        shape_port("sample_rate"),
                        {.name = "lower_edge_hertz", .role = Role::kParameter},
                        {.name = "upper_edge_hertz", .role = Role::kParameter}},
             .outputs = {{.name = "output"}},
             .attrs = {int_attr("output_datatype", 1)},
             .infer = infer_mel,
             .timing = ShapeTiming::kFromValues,
             .run = run_mel,
             .quant = QuantRule::keep_float(kNotComputed),
             .axes = axes_none,
             .spellings = onnx_since("MelWeightMatrix", 17),
             .samples = mel_samples});
}

}  // namespace amct
