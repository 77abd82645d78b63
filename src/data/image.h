// Pictures in memory, and their decoders.
//
// Whatever a file holds (grey, palette, alpha, 16 bits, CMYK) becomes 8-bit grey or RGB: 16-bit values are rounded to
// 8 bits, alpha is dropped, CMYK is multiplied out without a colour profile, colour becomes grey by the luma of BT.601.
// The EXIF orientation, gamma and colour profiles are ignored: networks are trained on the pixels as they are stored.
// Files are hostile: extents are limited before memory is taken, and corrupt or cut-off data is an error, never grey.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace amct {

inline constexpr int64_t kMaxImagePixels = int64_t{1} << 27;

struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;             // 1 = grey, 3 = red, green, blue
  std::vector<uint8_t> pixels;  // height x width x channels
  // A JPEG that was decoded at 1/reduction of its size: the last row and column may cover more than the picture has.
  int reduction = 1;
};

struct ImageSize {
  int height = 0;
  int width = 0;
};

struct DecodeOptions {
  int channels = 3;  // wanted: 1 or 3
  // A JPEG may be decoded at a half, a quarter or an eighth of its size, as far as both sides stay at least this; zeros
  // = always at full size.
  ImageSize at_least;
};

// The format is told by the first bytes, not by the name. `label` names the file in errors (kInput).
Image decode_image(std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& label);
ImageSize image_size(std::span<const std::byte> bytes, const std::string& label);  // from the header alone

bool is_jpeg(std::span<const std::byte> bytes);
bool is_png(std::span<const std::byte> bytes);
Image decode_jpeg(std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& label);
Image decode_png(std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& label);
ImageSize jpeg_size(std::span<const std::byte> bytes, const std::string& label);
ImageSize png_size(std::span<const std::byte> bytes, const std::string& label);

// Throws Error(kInput) unless a file of `file_bytes` can hold so many pixels: beyond the first million no format packs
// more than kMaxPixelsPerByte into a byte (deflate 1032 bytes of eight pixels each; a JPEG spends a bit on 64 pixels).
inline constexpr int64_t kMaxPixelsPerByte = 8256;
void check_image_fits(int64_t height, int64_t width, size_t file_bytes, const std::string& label);

// Throws Error(kInput) unless both extents are positive and their product is at most kMaxImagePixels.
void check_image_size(int64_t height, int64_t width, const std::string& label);

// The image with 1 or 3 channels: grey is repeated; colour becomes its BT.601 luma, rounded,
// (299 R + 587 G + 114 B) / 1000 in 16-bit fixed point.
Image with_channels(Image image, int channels);

}  // namespace amct
