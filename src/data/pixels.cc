#include "data/pixels.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "data/input_file.h"
#include "data/stored_array.h"
#include "ir/dispatch.h"

namespace amct {
namespace {

using Spec = PreprocessSpec;

// A JPEG is decoded at a reduced scale only if it stays at least this many times larger than what it is scaled to:
// measured in docs/formats/data.md.
constexpr int kDecodeMargin = 4;

bool is_channel_count(const Dim& dim) { return dim.is_fixed() && (dim.extent() == 1 || dim.extent() == 3); }

Error cannot_hold(const InputSpec& input, std::string_view reason) {
  return Error(
      ErrorCode::kInput,
      fmt::format("input '{}' of extents {} cannot take images: {}", input.name, Shape(input.dims).to_string(), reason),
      {}, "give its data as .npy files, or the layout with --preprocess …,layout=nchw");
}

// Pixels anywhere in memory: element (y, x, c) lies at y * row + x * column + c * plane.
template <typename T>
struct Pixels {
  const T* data;
  size_t row, column, plane;
  int channels;
};

// y = (x - mean) / std in the output's type; for 8-bit pixels from a table of 256 values.
template <typename To, typename From>
class Normalise {
 public:
  Normalise(double mean, double std) : mean_(mean), std_(std) {
    if constexpr (std::is_same_v<From, uint8_t>) {
      table_.reserve(256);
      for (int i = 0; i < 256; ++i) table_.push_back(static_cast<To>(static_cast<Compute<To>>((i - mean) / std)));
    }
  }
  To operator()(From x) const {
    if constexpr (std::is_same_v<From, uint8_t>)
      return table_[x];
    else
      return static_cast<To>(static_cast<Compute<To>>((static_cast<double>(x) - mean_) / std_));
  }

 private:
  double mean_, std_;
  std::vector<To> table_;
};

template <typename To, typename From>
void write_pixels(const Pixels<From>& from, To* to, int height, int width, int channels, bool channels_last,
                  const Spec& spec) {
  const auto of = [](const std::vector<float>& values, int c) {
    return values.size() == 1 ? values[0] : values[static_cast<size_t>(c)];
  };
  const auto h = static_cast<size_t>(height), w = static_cast<size_t>(width), n = static_cast<size_t>(channels);
  for (int c = 0; c < channels; ++c) {
    const Normalise<To, From> normalise(of(spec.mean, c), of(spec.std, c));
    const int stored = from.channels == 1 ? 0 : spec.color == Spec::Color::kBgr ? channels - 1 - c : c;
    const From* plane = from.data + static_cast<size_t>(stored) * from.plane;
    const size_t step = channels_last ? n : 1;
    To* target = to + (channels_last ? static_cast<size_t>(c) : static_cast<size_t>(c) * h * w);
    for (size_t y = 0; y < h; ++y) {
      const From* source = plane + y * from.row;
      for (size_t x = 0; x < w; ++x, target += step) *target = normalise(source[x * from.column]);
    }
  }
}

struct ArrayForm {
  int height, width, channels;
  bool channels_first;
};

std::optional<ArrayForm> form_of(const Dims& row) {
  const auto side = [](int64_t extent) { return extent >= 1 && extent <= (1 << 20); };
  const auto channels = [](int64_t extent) { return extent == 1 || extent == 3; };
  if (!std::ranges::all_of(row, side)) return std::nullopt;
  std::vector<int> d(row.begin(), row.end());
  if (d.size() == 2) return ArrayForm{d[0], d[1], 1, false};
  if (d.size() != 3) return std::nullopt;
  if (channels(d[2]) && !channels(d[0])) return ArrayForm{d[0], d[1], d[2], false};
  if (channels(d[0])) return ArrayForm{d[1], d[2], d[0], true};
  return std::nullopt;
}

template <typename T>
Pixels<T> pixels_of(const T* data, const ArrayForm& form) {
  const auto h = static_cast<size_t>(form.height), w = static_cast<size_t>(form.width);
  const auto c = static_cast<size_t>(form.channels);
  if (form.channels_first) return {data, w, 1, h * w, form.channels};
  return {data, w * c, c, 1, form.channels};
}

}  // namespace

ImagePipeline::ImagePipeline(const PreprocessSpec& spec, const InputSpec& input) : spec_(spec), input_(input) {
  const auto& dims = input.dims;
  const size_t rank = dims.size();
  if (rank < 2 || rank > 4) throw cannot_hold(input, "an image batch has two to four dimensions");
  flat_ = rank == 2;
  channels_ = spec.color == Spec::Color::kGrey ? 1 : 3;
  channels_last_ = spec.layout == Spec::Layout::kChannelsLast;
  const auto side = [](const Dim& dim) { return dim.is_fixed() ? static_cast<int>(dim.extent()) : 0; };
  if (rank == 3) {
    channels_ = 1;
    height_ = side(dims[1]);
    width_ = side(dims[2]);
  } else if (rank == 4) {
    if (spec.layout == Spec::Layout::kFromModel)
      channels_last_ = is_channel_count(dims[3]) && !is_channel_count(dims[1]);
    const Dim& channel = dims[channels_last_ ? 3 : 1];
    if (channel.is_fixed() && !is_channel_count(channel)) {
      throw cannot_hold(input, fmt::format("{} channels are neither grey nor colour", channel.extent()));
    }
    if (channel.is_fixed()) channels_ = static_cast<int>(channel.extent());
    height_ = side(dims[channels_last_ ? 1 : 2]);
    width_ = side(dims[channels_last_ ? 2 : 3]);
  }
  for (const auto* numbers : {&spec_.mean, &spec_.std}) {
    if (numbers->size() != 1 && numbers->size() != static_cast<size_t>(channels_)) {
      throw Error(ErrorCode::kConfig,
                  fmt::format("--preprocess gives mean or std for {} channels, but input '{}' has {}", numbers->size(),
                              input.name, channels_),
                  {}, "give one number, or one per channel");
    }
  }
  if (!is_floating(input.dtype)) {
    const auto not_identity = [](float mean, float std) { return mean != std::floor(mean) || std != 1; };
    for (size_t c = 0; c < std::max(spec_.mean.size(), spec_.std.size()); ++c) {
      const float mean = spec_.mean[spec_.mean.size() == 1 ? 0 : c], std = spec_.std[spec_.std.size() == 1 ? 0 : c];
      const bool narrow = bit_width(input.dtype) == 8;
      const bool fits = input.dtype == DType::kInt8 ? mean == 128 : input.dtype == DType::kUInt8 && mean == 0;
      if (not_identity(mean, std) || !is_integer(input.dtype) || (narrow && !fits)) {
        throw Error(ErrorCode::kConfig,
                    fmt::format("--preprocess gives values that input '{}' of type {} cannot hold", input.name,
                                name_of(input.dtype)),
                    {}, "leave mean and std out (int8 inputs: mean=128)");
      }
    }
  }
}

bool ImagePipeline::fixed_dims() const {
  return !spec_.crop.empty() || !spec_.resize_to.empty() || (height_ > 0 && width_ > 0) ||
         (flat_ && input_.dims[1].is_fixed());
}

ImagePipeline::Geometry ImagePipeline::geometry(const ImageSize& size, const std::string& label) const {
  Geometry geometry{size, {}};
  if (!spec_.resize_to.empty()) {
    geometry.scaled = {spec_.resize_to[0], spec_.resize_to[1]};
  } else if (spec_.resize > 0) {
    const int64_t target = spec_.resize;
    const int64_t least = std::min(size.height, size.width);
    geometry.scaled = {static_cast<int>(target * size.height / least), static_cast<int>(target * size.width / least)};
    check_image_size(geometry.scaled.height, geometry.scaled.width, label);
  }
  const ImageSize& scaled = geometry.scaled;
  geometry.window = {0, 0, scaled.height, scaled.width};
  if (!spec_.crop.empty()) {
    const int height = spec_.crop[0], width = spec_.crop[1];
    if (height > scaled.height || width > scaled.width) {
      throw data_error(
          fmt::format("crop={}x{} is larger than the image of {} x {}", height, width, scaled.height, scaled.width),
          label, fmt::format("add resize={} to --preprocess", std::max(height, width)));
    }
    geometry.window = {(scaled.height - height) / 2, (scaled.width - width) / 2, height, width};
  }
  return geometry;
}

Dims ImagePipeline::dims_of(int height, int width) const {
  if (flat_) return {int64_t{height} * width * channels_};
  if (input_.dims.size() == 3) return {height, width};
  return channels_last_ ? Dims{height, width, channels_} : Dims{channels_, height, width};
}

void ImagePipeline::check_fit(const Dims& dims, const ImageSize& size, const std::string& label) const {
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    const Dim& wanted = input_.dims[axis + 1];
    if (!wanted.is_fixed() || wanted.extent() == dims[axis]) continue;
    std::string hint = "images must have the size that the model was trained on";
    if (height_ > 0 && width_ > 0) {
      const std::string crop = height_ == width_ ? std::to_string(height_) : fmt::format("{}x{}", height_, width_);
      hint = fmt::format("add resize={0}x{1} or resize={2},crop={3} to --preprocess", height_, width_,
                         std::max(height_, width_), crop);
    }
    throw data_error(fmt::format("input '{}' wants samples of {}, but an image of {} x {} gives {}", input_.name,
                                 Shape(std::vector<Dim>(input_.dims.begin() + 1, input_.dims.end())).to_string(),
                                 size.height, size.width, to_string(dims)),
                     label, std::move(hint));
  }
}

Dims ImagePipeline::sample_dims(const ImageSize& size, const std::string& label) const {
  const Geometry place = geometry(size, label);
  Dims dims = dims_of(place.window.height, place.window.width);
  check_fit(dims, size, label);
  return dims;
}

void ImagePipeline::read(std::span<const std::byte> file, const MutableView& destination,
                         const std::string& label) const {
  const ImageSize size = image_size(file, label);
  const Geometry place = geometry(size, label);
  DecodeOptions options;
  options.channels = channels_ == 1 || spec_.color == Spec::Color::kGrey ? 1 : 3;
  if (spec_.filter != Spec::Filter::kNearest) {
    options.at_least = {std::min(size.height, kDecodeMargin * place.scaled.height),
                        std::min(size.width, kDecodeMargin * place.scaled.width)};
  }
  const Image image = decode_image(file, options, label);
  write(resize_window(image, size, place.scaled, spec_.filter, place.window), destination);
}

void ImagePipeline::write(const Image& image, const MutableView& destination) const {
  AMCT_CHECK(destination.size() == int64_t{image.height} * image.width * channels_, "an image of the wrong size");
  const ArrayForm form{image.height, image.width, image.channels, false};
  visit_numeric(destination.dtype, [&]<typename To>(Tag<To>) {
    write_pixels(pixels_of(image.pixels.data(), form), destination.as<To>(), image.height, image.width, channels_,
                 channels_last_, spec_);
  });
}

Dims ImagePipeline::array_sample_dims(const Dims& row, const std::string& label) const {
  const auto form = form_of(row);
  if (!form) {
    throw data_error(fmt::format("rows of {} are not images, so --preprocess cannot be applied", to_string(row)), label,
                     "images are [height, width, 1 or 3], [1 or 3, height, width] or [height, width]");
  }
  return sample_dims({form->height, form->width}, label);
}

void ImagePipeline::read_array(const TensorView& row, const MutableView& destination, const std::string& label) const {
  const ArrayForm form = *form_of(row.dims);
  const Geometry place = geometry({form.height, form.width}, label);
  const bool wants_grey = channels_ == 1 || spec_.color == Spec::Color::kGrey;
  if (row.dtype == DType::kUInt8) {
    Image image{form.height, form.width, form.channels, std::vector<uint8_t>(static_cast<size_t>(row.size()))};
    Spec plain;
    write_pixels(pixels_of(row.as<uint8_t>(), form), image.pixels.data(), form.height, form.width, form.channels, true,
                 plain);
    image = with_channels(std::move(image), wants_grey ? 1 : image.channels);
    write(resize_window(image, {form.height, form.width}, place.scaled, spec_.filter, place.window), destination);
    return;
  }
  if (place.scaled.height != form.height || place.scaled.width != form.width || (wants_grey && form.channels == 3)) {
    throw data_error(fmt::format("an array of {} is not scaled or turned grey", name_of(row.dtype)), label,
                     "save it as uint8, or in its final size and colours");
  }
  Tensor floats = Tensor::allocate(DType::kFloat32, row.dims);
  if (!may_convert(row.dtype, DType::kFloat32) || !is_floating(destination.dtype)) {
    throw data_error(fmt::format("pixels of {} cannot become {}", name_of(row.dtype), name_of(destination.dtype)),
                     label);
  }
  convert_elements(row, floats.mutable_view(), label);
  Pixels<float> pixels = pixels_of(floats.values<float>().data(), form);
  pixels.data +=
      static_cast<size_t>(place.window.top) * pixels.row + static_cast<size_t>(place.window.left) * pixels.column;
  visit_numeric(destination.dtype, [&]<typename To>(Tag<To>) {
    write_pixels(pixels, destination.as<To>(), place.window.height, place.window.width, channels_, channels_last_,
                 spec_);
  });
}

}  // namespace amct
