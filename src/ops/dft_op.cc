// DFT and STFT: discrete Fourier transforms along an axis, and of windowed frames of a signal.
//
// Complex numbers are a last axis of two, real part first; a last axis of one is real. DFT cuts or zero-pads the axis
// to dft_length; `onesided` keeps the first length / 2 + 1 results of a real input. STFT takes frames of frame_length
// (else the window's, else the signal's length) every frame_step elements, multiplies them with the window and
// transforms them. Both compute in double. Before opset 20 the axis of DFT is an attribute, 1 by default.
#include <fmt/core.h>

#include <algorithm>

#include "base/checked_math.h"
#include "kernels/reference/fft.h"
#include "ops/axis_view.h"
#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

using Complex = std::complex<double>;
constexpr int64_t kAxisIsInputOpset = 20;
constexpr size_t kLength = 1, kAxis = 2;
constexpr size_t kStep = 1, kWindow = 2, kFrame = 3;

bool is_index_type(DType dtype) { return dtype == DType::kInt32 || dtype == DType::kInt64; }

// The one integer of an input whose value is known; it must be at least `low`.
std::optional<int64_t> single(const InferContext& c, size_t port, const char* what, int64_t low) {
  if (!c.has(port)) return std::nullopt;
  expect_type(c, port, is_index_type);
  const auto values = c.ints(port);
  if (!values) return std::nullopt;
  if (values->size() != 1 || (*values)[0] < low)
    c.fail(fmt::format("{} {} is not one number >= {}", what, to_string(*values), low));
  return (*values)[0];
}

size_t transformed_axis(int64_t axis, size_t rank, const Node& node) {
  const int64_t result = normalize_axis(axis, rank);
  if (result + 1 == static_cast<int64_t>(rank)) {
    throw Error(ErrorCode::kInput, fmt::format("axis {} holds the parts of complex numbers", axis),
                {.node = node.name, .op = node.op});
  }
  return static_cast<size_t>(result);
}

void check_parts(const InferContext& c, const Dim& parts, bool onesided) {
  if (!parts.is_fixed()) return;
  if (parts.extent() != 1 && parts.extent() != 2) {
    c.fail(fmt::format("the last axis has {} parts; a number has one or two", parts.extent()));
  }
  if (onesided && parts.extent() == 2) c.fail("a one-sided transform needs a real input");
}

void infer_dft(InferContext& c) {
  expect_type(c, 0, is_float_type);
  const bool onesided = attr_int(c.node(), "onesided") != 0;
  if (onesided && attr_int(c.node(), "inverse") != 0) c.fail("an inverse transform cannot be one-sided");
  const auto length = single(c, kLength, "dft_length", 1);
  const auto axis = c.has(kAxis) ? c.ints(kAxis) : std::optional(Ints{-2});
  if (axis && axis->size() != 1) c.fail(fmt::format("axis has {} elements, not one", axis->size()));
  const Shape& x = c.shape(0);
  if (!x.ranked()) return c.set_output(0, c.dtype(0), Shape());
  if (x.rank() < 2) c.fail(fmt::format("shape {} has no axis besides that of the parts", x.to_string()));
  check_parts(c, x[x.rank() - 1], onesided);
  Shape shape = x;
  if (!axis) {
    shape = Shape::of_rank(x.rank());
  } else {
    Dim& extent = shape[transformed_axis((*axis)[0], x.rank(), c.node())];
    if (c.has(kLength)) extent = length ? Dim(*length) : Dim();
    if (onesided) extent = extent.is_fixed() ? Dim(extent.extent() / 2 + 1) : Dim();
  }
  shape[x.rank() - 1] = 2;
  c.set_output(0, c.dtype(0), shape);
}

// Element `at` (counted in numbers) of real or complex memory.
template <typename T>
Complex number_at(const T* x, int64_t at, bool complex) {
  const auto part = [&](int64_t i) { return static_cast<double>(static_cast<Compute<T>>(x[i])); };
  return complex ? Complex(part(2 * at), part(2 * at + 1)) : Complex(part(at), 0);
}

template <typename T>
void store(T* y, int64_t at, const Complex& z) {
  y[2 * at] = static_cast<T>(static_cast<Compute<T>>(z.real()));
  y[2 * at + 1] = static_cast<T>(static_cast<Compute<T>>(z.imag()));
}

void run_dft(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const int64_t given = c.has(kAxis) ? ints_of(c.input(kAxis)).at(0) : -2;
  const size_t axis = transformed_axis(given, dims.size(), c.node());
  const AxisView from = axis_view({dims.begin(), dims.end() - 1}, axis);
  const int64_t length = c.has(kLength) ? ints_of(c.input(kLength)).at(0) : from.extent;
  const int64_t kept = c.output(0).dims[axis];
  if (length == 0 || c.output(0).size() == 0) return;
  const reference::Fft fft(length, attr_int(c.node(), "inverse") != 0);
  const bool complex = dims.back() == 2;
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    const T* x = c.input(0).as<T>();
    T* y = c.output(0).as<T>();
#pragma omp parallel num_threads(c.threads())
    {
      std::vector<Complex> line(static_cast<size_t>(length)), scratch;
#pragma omp for
      for (int64_t row = 0; row < from.outer * from.inner; ++row) {
        const int64_t o = row / from.inner, i = row % from.inner;
        std::fill(line.begin(), line.end(), Complex());
        for (int64_t t = 0; t < std::min(length, from.extent); ++t) {
          line[static_cast<size_t>(t)] = number_at(x, (o * from.extent + t) * from.inner + i, complex);
        }
        fft.run(line.data(), scratch);
        for (int64_t k = 0; k < kept; ++k) store(y, (o * kept + k) * from.inner + i, line[static_cast<size_t>(k)]);
      }
    }
  });
}

struct Frames {
  int64_t length = 0, step = 1, count = 0;
};

// Throws Error(kInput) when the frames do not fit the signal.
Frames frames_of(const Node& node, int64_t signal, int64_t step, int64_t length) {
  if (step < 1 || length < 1 || length > signal) {
    throw Error(ErrorCode::kInput, fmt::format("frames of {} every {} do not fit a signal of {}", length, step, signal),
                {.node = node.name, .op = node.op});
  }
  return {length, step, (signal - length) / step + 1};
}

void infer_stft(InferContext& c) {
  expect_type(c, 0, is_float_type);
  const bool onesided = attr_int(c.node(), "onesided") != 0;
  const auto step = single(c, kStep, "frame_step", 1);
  auto length = single(c, kFrame, "frame_length", 1);
  if (c.has(kWindow)) {
    if (c.dtype(kWindow) != c.dtype(0) && c.dtype(kWindow) != DType::kUndefined && c.dtype(0) != DType::kUndefined) {
      c.fail(fmt::format("the window is {}, the signal {}", name_of(c.dtype(kWindow)), name_of(c.dtype(0))));
    }
    const auto window = c.shape(kWindow).fixed();
    if (window && window->size() != 1) c.fail(fmt::format("a window of shape {}", to_string(*window)));
    if (window && length && *length != (*window)[0]) {
      c.fail(fmt::format("a window of {} does not fit frames of {}", (*window)[0], *length));
    }
    if (window && !c.has(kFrame)) length = (*window)[0];
  }
  Shape shape = Shape::of_rank(4);
  shape[3] = 2;
  const Shape& x = c.shape(0);
  if (x.ranked()) {
    if (x.rank() != 2 && x.rank() != 3)
      c.fail(fmt::format("a signal of shape {} is not (samples, length, parts)", x.to_string()));
    if (x.rank() == 3) check_parts(c, x[2], onesided);
    shape[0] = x[0];
    if (!c.has(kFrame) && !c.has(kWindow) && x[1].is_fixed()) length = x[1].extent();
    if (step && length && x[1].is_fixed()) shape[1] = frames_of(c.node(), x[1].extent(), *step, *length).count;
  }
  if (length) shape[2] = onesided ? *length / 2 + 1 : *length;
  c.set_output(0, c.dtype(0), shape);
}

void run_stft(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const int64_t signal = dims[1];
  const int64_t length = c.has(kFrame)    ? ints_of(c.input(kFrame)).at(0)
                         : c.has(kWindow) ? c.input(kWindow).size()
                                          : signal;
  const Frames frames = frames_of(c.node(), signal, ints_of(c.input(kStep)).at(0), length);
  const int64_t kept = c.output(0).dims[2];
  const bool complex = dims.size() == 3 && dims[2] == 2;
  const reference::Fft fft(length, false);
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    const T* x = c.input(0).as<T>();
    T* y = c.output(0).as<T>();
    const T* window = c.has(kWindow) ? c.input(kWindow).as<T>() : nullptr;
#pragma omp parallel num_threads(c.threads())
    {
      std::vector<Complex> line(static_cast<size_t>(length)), scratch;
#pragma omp for
      for (int64_t frame = 0; frame < dims[0] * frames.count; ++frame) {
        const int64_t first = frame / frames.count * signal + frame % frames.count * frames.step;
        for (int64_t t = 0; t < length; ++t) {
          const double weight = window != nullptr ? static_cast<double>(static_cast<Compute<T>>(window[t])) : 1.0;
          line[static_cast<size_t>(t)] = weight * number_at(x, first + t, complex);
        }
        fft.run(line.data(), scratch);
        for (int64_t k = 0; k < kept; ++k) store(y, frame * kept + k, line[static_cast<size_t>(k)]);
      }
    }
  });
}

constexpr const char* kMixed = "a transform mixes its entries";

std::vector<AxisRelation> axes_dft(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const size_t rank = c.input(0).size();
  const Tensor* given = c.constant(kAxis);
  const bool known = !c.has(kAxis) || given != nullptr;
  const int64_t axis = given != nullptr ? given->to_int64s().at(0) : -2;
  for (size_t i = 0; i < rank; ++i) {
    if (known && i + 1 != rank && i != transformed_axis(axis, rank, c.node())) {
      add_tie(relations, c.input(0)[i], {in_axis(0, i), out_axis(0, i)});
    } else {
      relations.push_back(lock(in_axis(0, i), kMixed));
      relations.push_back(lock(out_axis(0, i), kMixed));
    }
  }
  return relations;
}

std::vector<AxisRelation> axes_stft(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  add_tie(relations, c.input(0)[0], {in_axis(0, 0), out_axis(0, 0)});
  for (size_t i = 1; i < c.input(0).size(); ++i) relations.push_back(lock(in_axis(0, i), kMixed));
  for (size_t i = 1; i < c.output(0).size(); ++i) relations.push_back(lock(out_axis(0, i), kMixed));
  return relations;
}

void import_axis_attribute(ImportContext& c) {
  Attrs attrs = c.attrs();
  const auto axis = attrs.get<int64_t>("axis", 1);
  attrs.erase("axis");
  for (const auto& [name, value] : attrs.items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  c.add({c.input(0), c.input(kLength), c.constant("axis", Tensor::scalar(axis))}, std::move(attrs));
}

void export_axis_attribute(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  const auto axis = c.constant_ints(kAxis, kAxisIsInputOpset);
  attrs.set("axis", axis ? axis->at(0) : int64_t{-2});
  std::vector<std::string> inputs = input_names(c);
  inputs.resize(std::min<size_t>(inputs.size(), 2));
  c.emit(std::move(inputs), std::move(attrs));
}

// Written even where it is the default, which ONNX's own shape rule takes for 0.
void export_stft(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  attrs.set("onesided", attr_int(c.node(), "onesided"));
  c.emit(input_names(c), std::move(attrs));
}

SampleInput scalar(int64_t value) { return fixed(Tensor::scalar<int64_t>(value)); }

std::vector<Sample> dft_samples() {
  const Attrs onesided{{"onesided", int64_t{1}}};
  return {
      {.name = "real", .inputs = {random_input({2, 8, 1})}},
      {.name = "odd_complex_axis", .inputs = {random_input({2, 7, 3, 2}), absent_input(), scalar(1)}},
      {.name = "inverse", .inputs = {random_input({3, 5, 2})}, .attrs = {{"inverse", int64_t{1}}}},
      {.name = "onesided", .inputs = {random_input({2, 9, 1}), absent_input(), scalar(-2)}, .attrs = onesided},
      {.name = "padded", .inputs = {random_input({6, 3, 1}), scalar(11), scalar(0)}, .attrs = onesided},
      {.name = "cut", .inputs = {random_input({2, 9, 2}), fixed(Tensor::scalar<int32_t>(6))}},
      {.name = "float64", .inputs = {random_input({2, 12, 2}, -1, 1, DType::kFloat64)}},
  };
}

std::vector<Sample> stft_samples() {
  return {
      {.name = "window", .inputs = {random_input({2, 40, 1}), scalar(3), random_weight({12}, 0, 1)}},
      {.name = "frame_length",
       .inputs = {random_input({1, 33, 1}), scalar(4), absent_input(), scalar(8)},
       .attrs = {{"onesided", int64_t{1}}}},
      {.name = "complex",
       .inputs = {random_input({2, 20, 2}), scalar(5), random_weight({7}, 0, 1), scalar(7)},
       .attrs = {{"onesided", int64_t{0}}}},
      {.name = "float64",
       .inputs = {random_input({1, 20, 1}, -1, 1, DType::kFloat64), scalar(4),
                  random_weight({9}, 0, 1, DType::kFloat64)}},
  };
}

}  // namespace

void add_dft_op(OpTable& table) {
  table.add({.name = "dft",
             .doc = "Discrete Fourier transform along an axis.",
             .inputs = {{"input"}, shape_port("dft_length", true), shape_port("axis", true)},
             .outputs = {{"output"}},
             .attrs = {int_attr("inverse", 0), int_attr("onesided", 0)},
             .infer = infer_dft,
             .timing = ShapeTiming::kFromValues,
             .run = run_dft,
             .quant = QuantRule::keep_float("a spectrum has a range of its own"),
             .axes = axes_dft,
             .spellings = {onnx("DFT", kAxisIsInputOpset),
                           onnx("DFT", 17, kAxisIsInputOpset - 1, import_axis_attribute, export_axis_attribute)},
             .samples = dft_samples});
  table.add({.name = "stft",
             .doc = "Discrete Fourier transforms of the frames of a signal.",
             .inputs = {{"signal"},
                        shape_port("frame_step"),
                        {.name = "window", .role = Role::kParameter, .optional = true},
                        shape_port("frame_length", true)},
             .outputs = {{"output"}},
             .attrs = {int_attr("onesided", 1)},
             .infer = infer_stft,
             .timing = ShapeTiming::kFromValues,
             .run = run_stft,
             .quant = QuantRule::keep_float("a spectrum has a range of its own"),
             .axes = axes_stft,
             .spellings = {onnx("STFT", 17, kAllVersions, nullptr, export_stft)},
             .samples = stft_samples});
}

}  // namespace amct
