// Pooling of regions of interest.
//
// roi_align     splits each region, in coordinates times spatial_scale, into output_height x output_width bins and
// takes
//               the average or the maximum over bilinear samples inside each: sampling_ratio per axis, or
//               ceil(region / bins) if that is 0; half_pixel shifts the coordinates by -1/2
// max_roi_pool  rounds each region to pixels and takes the maximum of each bin, 0 of an empty one
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr int64_t kHalfPixelOpset = 16;
constexpr int64_t kMostSamples = 1 << 20;  // per bin: more than any image justifies

// Types and ranks of both rows; `columns` values describe a region.
void check_regions(const InferContext& c, int64_t columns) {
  for (const size_t port : {0, 1}) expect_type(c, port, is_float_type);
  if (c.shape(0).ranked() && c.shape(0).rank() != 4) {
    c.fail(fmt::format("its input has rank {}; 4 is needed", c.shape(0).rank()));
  }
  const Shape& rois = c.shape(1);
  const bool fits = !rois.ranked() || (rois.rank() == 2 && (!rois[1].is_fixed() || rois[1].extent() == columns));
  if (!fits) c.fail(fmt::format("its regions have shape {}; (count, {}) is needed", rois.to_string(), columns));
}

void set_pooled(InferContext& c, int64_t height, int64_t width) {
  if (height < 1 || width < 1) c.fail(fmt::format("its result is to have {} x {} bins", height, width));
  Shape y({Dim(), Dim(), Dim(height), Dim(width)});
  if (c.shape(1).ranked()) y[0] = c.shape(1)[0];
  if (c.shape(0).ranked()) y[1] = c.shape(0)[1];
  c.set_output(0, c.dtype(0), std::move(y));
}

void infer_align(InferContext& c) {
  check_regions(c, 4);
  const std::string mode = attr_string(c.node(), "mode");
  if (mode != "avg" && mode != "max") c.fail(fmt::format("attribute 'mode' is '{}'; avg and max are known", mode));
  const std::string transform = attr_string(c.node(), "coordinate_transformation_mode");
  if (transform != "half_pixel" && transform != "output_half_pixel") {
    c.fail(fmt::format("attribute 'coordinate_transformation_mode' is '{}'; half_pixel and output_half_pixel are known",
                       transform));
  }
  if (c.dtype(2) != DType::kUndefined && !is_integer(c.dtype(2))) c.fail("its batch indices are no integers");
  const Shape& batch = c.shape(2);
  if (batch.ranked() && batch.rank() != 1)
    c.fail(fmt::format("its batch indices have rank {}; 1 is needed", batch.rank()));
  if (batch.ranked() && c.shape(1).ranked() && batch[0].is_fixed() && c.shape(1)[0].is_fixed() &&
      batch[0] != c.shape(1)[0]) {
    c.fail(fmt::format("it has {} batch indices for regions {}", batch.to_string(), c.shape(1).to_string()));
  }
  set_pooled(c, attr_int(c.node(), "output_height"), attr_int(c.node(), "output_width"));
}

void infer_max(InferContext& c) {
  check_regions(c, 5);
  const std::vector<int64_t> shape = attr_ints(c.node(), "pooled_shape");
  if (shape.size() != 2) c.fail(fmt::format("attribute 'pooled_shape' has {} entries; 2 are needed", shape.size()));
  set_pooled(c, shape[0], shape[1]);
}

int64_t checked_batch(const RunContext& c, double index) {
  if (index >= 0 && index < static_cast<double>(c.input(0).dims[0])) return static_cast<int64_t>(index);
  throw Error(ErrorCode::kInput, fmt::format("a region is of image {} of {}", index, c.input(0).dims[0]),
              {.node = c.node().name, .op = c.node().op});
}

// A bilinear sample: four pixels with their weights, all 0 outside the image.
struct Corners {
  std::array<int64_t, 4> at{};
  std::array<double, 4> weight{};
};

Corners corners_at(double y, double x, int64_t height, int64_t width) {
  Corners result;
  if (!(y >= -1 && y <= static_cast<double>(height) && x >= -1 && x <= static_cast<double>(width))) return result;
  const auto split = [](double position, int64_t extent, int64_t* low, int64_t* high) {
    position = std::max(position, 0.0);
    *low = std::min(static_cast<int64_t>(position), extent - 1);
    *high = std::min(*low + 1, extent - 1);
    return *low == extent - 1 ? 0.0 : position - static_cast<double>(*low);
  };
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  const double dy = split(y, height, &top, &bottom);
  const double dx = split(x, width, &left, &right);
  result.at = {top * width + left, top * width + right, bottom * width + left, bottom * width + right};
  result.weight = {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx};
  return result;
}

// A region along one axis.
struct Bins {
  double start = 0, bin = 0;
  int64_t samples = 1;  // per bin

  Bins(double begin, double end, int64_t bins, int64_t ratio, bool half_pixel) : start(begin) {
    const double length = half_pixel ? end - begin : std::max(end - begin, 1.0);
    bin = length / static_cast<double>(bins);
    const double wanted = ratio > 0 ? static_cast<double>(ratio) : std::ceil(bin);
    samples = wanted > 0 ? static_cast<int64_t>(std::min<double>(wanted, kMostSamples)) : 0;
  }
  double position(int64_t index, int64_t sample) const {
    return start + bin * static_cast<double>(index) +
           (static_cast<double>(sample) + 0.5) * bin / static_cast<double>(samples);
  }
};

std::vector<Corners> corners_of_bin(const Bins& rows, const Bins& columns, int64_t i, int64_t j, const Dims& image) {
  std::vector<Corners> result;
  for (int64_t a = 0; a < rows.samples; ++a) {
    for (int64_t b = 0; b < columns.samples; ++b) {
      result.push_back(corners_at(rows.position(i, a), columns.position(j, b), image[2], image[3]));
    }
  }
  return result;
}

double pool(const std::vector<Corners>& samples, const double* image, bool average) {
  double sum = 0;
  bool first = true;
  for (const Corners& corners : samples) {
    for (size_t i = 0; i < 4; ++i) {
      const double value = corners.weight[i] * image[corners.at[i]];
      sum = average ? sum + value : first ? value : std::max(sum, value);
      first = false;
    }
  }
  return average && !samples.empty() ? sum / static_cast<double>(samples.size()) : sum;
}

void run_align(RunContext& c) {
  const Node& node = c.node();
  const Dims& x = c.input(0).dims;
  const Dims& y = c.output(0).dims;
  const std::vector<double> image = reference::widen(c.input(0)), rois = reference::widen(c.input(1));
  const std::vector<int64_t> batch = ints_of(c.input(2));
  const double scale = attr_float(node, "spatial_scale");
  const int64_t ratio = attr_int(node, "sampling_ratio");
  const bool half = attr_string(node, "coordinate_transformation_mode") == "half_pixel";
  const bool average = attr_string(node, "mode") == "avg";
  const double shift = half ? 0.5 : 0;
  std::vector<double> result(static_cast<size_t>(c.output(0).size()));
  if (x[2] * x[3] == 0) return reference::narrow(result, c.output(0));
  for (int64_t region = 0; region < y[0]; ++region) {
    const double* roi = rois.data() + region * 4;
    const Bins columns(roi[0] * scale - shift, roi[2] * scale - shift, y[3], ratio, half);
    const Bins rows(roi[1] * scale - shift, roi[3] * scale - shift, y[2], ratio, half);
    const int64_t n = checked_batch(c, static_cast<double>(batch.at(static_cast<size_t>(region))));
    if (rows.samples * columns.samples > kMostSamples) {
      throw Error(ErrorCode::kInput, fmt::format("region {} needs more than {} samples a bin", region, kMostSamples),
                  {.node = node.name, .op = node.op});
    }
    for (int64_t i = 0; i < y[2]; ++i) {
      for (int64_t j = 0; j < y[3]; ++j) {
        const std::vector<Corners> samples = corners_of_bin(rows, columns, i, j, x);
        for (int64_t channel = 0; channel < y[1]; ++channel) {
          const double* plane = image.data() + (n * x[1] + channel) * x[2] * x[3];
          result[((region * y[1] + channel) * y[2] + i) * y[3] + j] = pool(samples, plane, average);
        }
      }
    }
  }
  reference::narrow(result, c.output(0));
}

// Pixels [begin, end) of bin `index`.
struct Span {
  int64_t begin, end;
};
Span bin_span(double first, double last, int64_t index, int64_t bins, int64_t extent) {
  const double bin = std::max(last - first + 1, 1.0) / static_cast<double>(bins);
  const auto inside = [&](double x) {
    return x > 0 ? static_cast<int64_t>(std::min(x, static_cast<double>(extent))) : 0;
  };
  return {inside(first + std::floor(static_cast<double>(index) * bin)),
          inside(first + std::ceil(static_cast<double>(index + 1) * bin))};
}

void run_max(RunContext& c) {
  const Dims& x = c.input(0).dims;
  const Dims& y = c.output(0).dims;
  const std::vector<double> image = reference::widen(c.input(0)), rois = reference::widen(c.input(1));
  const double scale = attr_float(c.node(), "spatial_scale");
  std::vector<double> result(static_cast<size_t>(c.output(0).size()));
  for (int64_t region = 0; region < y[0]; ++region) {
    const double* roi = rois.data() + region * 5;
    const int64_t n = checked_batch(c, roi[0]);
    const auto pixel = [&](size_t i) { return std::round(roi[i] * scale); };
    for (int64_t i = 0; i < y[2]; ++i) {
      const Span rows = bin_span(pixel(2), pixel(4), i, y[2], x[2]);
      for (int64_t j = 0; j < y[3]; ++j) {
        const Span columns = bin_span(pixel(1), pixel(3), j, y[3], x[3]);
        if (rows.begin >= rows.end || columns.begin >= columns.end) continue;
        for (int64_t channel = 0; channel < y[1]; ++channel) {
          const double* plane = image.data() + (n * x[1] + channel) * x[2] * x[3];
          double largest = plane[rows.begin * x[3] + columns.begin];
          for (int64_t r = rows.begin; r < rows.end; ++r) {
            largest =
                std::max(largest, *std::max_element(plane + r * x[3] + columns.begin, plane + r * x[3] + columns.end));
          }
          result[((region * y[1] + channel) * y[2] + i) * y[3] + j] = largest;
        }
      }
    }
  }
  reference::narrow(result, c.output(0));
}

std::vector<AxisRelation> axes_channels(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  add_tie(relations, c.output(0)[1], {in_axis(0, 1), out_axis(0, 1)});
  return relations;
}

// Before opset 16 coordinates were not shifted.
void import_unshifted(ImportContext& c) {
  Attrs attrs = c.attrs();
  for (const auto& [name, value] : attrs.items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  attrs.set("coordinate_transformation_mode", std::string("output_half_pixel"));
  c.add(c.foreign().inputs, std::move(attrs));
}

void export_unshifted(ExportContext& c) {
  if (attr_string(c.node(), "coordinate_transformation_mode") != "output_half_pixel") {
    c.unsupported(fmt::format("coordinates shifted by half a pixel need opset {}", kHalfPixelOpset));
  }
  Attrs attrs = c.node().attrs;
  attrs.erase("coordinate_transformation_mode");
  c.emit(input_names(c), std::move(attrs));
}

SampleInput regions(Dims dims, std::vector<float> values) { return fixed(Tensor::of<float>(std::move(dims), values)); }

std::vector<Sample> align_samples() {
  const SampleInput rois = regions({3, 4}, {0.5f, 1.25f, 8.5f, 7, 2, 3, 6.5f, 11, -1, -2, 14, 13});
  const SampleInput batch = fixed_ints({1, 0, 1});
  return {
      {.name = "average",
       .inputs = {random_input({2, 3, 9, 7}), rois, batch},
       .attrs = {{"output_height", int64_t{3}}, {"output_width", int64_t{2}}, {"sampling_ratio", int64_t{2}}}},
      {.name = "adaptive",
       .inputs = {random_input({2, 3, 9, 7}), rois, batch},
       .attrs = {{"output_height", int64_t{2}}, {"output_width", int64_t{3}}, {"spatial_scale", 0.75}}},
      {.name = "maximum_unshifted",
       .inputs = {random_input({2, 5, 9, 7}), rois, batch},
       .attrs = {{"output_height", int64_t{2}},
                 {"output_width", int64_t{2}},
                 {"mode", std::string("max")},
                 {"coordinate_transformation_mode", std::string("output_half_pixel")}}},
  };
}

std::vector<Sample> max_samples() {
  const SampleInput rois = regions({3, 5}, {1, 0, 1, 6, 7, 0, 2, 3, 4, 5, 1, 3, 3, 9, 12});
  return {{.name = "plain",
           .inputs = {random_input({2, 3, 9, 7}), rois},
           .attrs = {{"pooled_shape", std::vector<int64_t>{2, 3}}}},
          {.name = "scaled",
           .inputs = {random_input({2, 3, 9, 7}), rois},
           .attrs = {{"pooled_shape", std::vector<int64_t>{3, 2}}, {"spatial_scale", 0.6}}}};
}

}  // namespace

void add_roi_op(OpTable& table) {
  table.add({.name = "roi_align",
             .doc = "Average or maximum of bilinear samples in the bins of each region of interest.",
             .inputs = {{"x"}, {"rois"}, {"batch_indices", Role::kParameter}},
             .outputs = {{"y"}},
             .attrs = {string_attr("mode", "avg"), string_attr("coordinate_transformation_mode", "half_pixel"),
                       int_attr("output_height", 1), int_attr("output_width", 1), int_attr("sampling_ratio", 0),
                       float_attr("spatial_scale", 1)},
             .infer = infer_align,
             .run = run_align,
             .quant = QuantRule::keep_float("it interpolates at computed places"),
             .axes = axes_channels,
             .spellings = {onnx("RoiAlign", kHalfPixelOpset),
                           onnx("RoiAlign", 10, kHalfPixelOpset - 1, import_unshifted, export_unshifted)},
             .samples = align_samples});
  table.add({.name = "max_roi_pool",
             .doc = "Maximum in the bins of each region of interest.",
             .inputs = {{"x"}, {"rois"}},
             .outputs = {{"y"}},
             .attrs = {required_attr("pooled_shape", AttrType::kInts), float_attr("spatial_scale", 1)},
             .infer = infer_max,
             .run = run_max,
             .quant = QuantRule::keep_float("its regions are computed"),
             .axes = axes_channels,
             .spellings = {onnx("MaxRoiPool")},
             .samples = max_samples});
}

}  // namespace amct
