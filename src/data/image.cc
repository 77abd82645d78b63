#include "data/image.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "data/input_file.h"

namespace amct {
namespace {

Error unknown_format(const std::string& label) {
  return data_error("neither a JPEG nor a PNG image", label, "convert it, or take it out of the folder");
}

}  // namespace

void check_image_size(int64_t height, int64_t width, const std::string& label) {
  if (height < 1 || width < 1 || height > kMaxImagePixels / width) {
    throw data_error(fmt::format("an image of {} x {} pixels is beyond the limit of {} million", width, height,
                                 kMaxImagePixels / 1'000'000),
                     label, "scale it down first");
  }
}

void check_image_fits(int64_t height, int64_t width, size_t file_bytes, const std::string& label) {
  constexpr int64_t kAlwaysAllowed = 1'000'000;
  check_image_size(height, width, label);
  const int64_t pixels = height * width;
  if (pixels > kAlwaysAllowed && static_cast<size_t>(pixels / kMaxPixelsPerByte) > file_bytes) {
    throw data_error(fmt::format("{} bytes cannot hold the {} x {} pixels that are claimed", file_bytes, width, height),
                     label);
  }
}

Image with_channels(Image image, int channels) {
  if (image.channels == channels) return image;
  Image result = {image.height, image.width, channels, {}, image.reduction};
  const size_t count = static_cast<size_t>(image.height) * static_cast<size_t>(image.width);
  result.pixels.resize(count * static_cast<size_t>(channels));
  if (channels == 3) {
    for (size_t i = 0; i < count; ++i) std::fill_n(&result.pixels[3 * i], 3, image.pixels[i]);
    return result;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* rgb = &image.pixels[3 * i];
    result.pixels[i] = static_cast<uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
  }
  return result;
}

Image decode_image(std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& label) {
  if (is_jpeg(bytes)) return decode_jpeg(bytes, options, label);
  if (is_png(bytes)) return decode_png(bytes, options, label);
  throw unknown_format(label);
}

ImageSize image_size(std::span<const std::byte> bytes, const std::string& label) {
  if (is_jpeg(bytes)) return jpeg_size(bytes, label);
  if (is_png(bytes)) return png_size(bytes, label);
  throw unknown_format(label);
}

}  // namespace amct
