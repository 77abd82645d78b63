// JPEG through libjpeg-turbo. The library reports errors by longjmp: between setjmp and the end of its use, functions
// here hold no C++ object with a destructor; they fill memory that their caller owns.
#include <fmt/core.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <utility>

#include "data/image.h"
#include "data/input_file.h"

extern "C" {
#include <jerror.h>
#include <jpeglib.h>
}

namespace amct {
namespace {

struct Handler {
  jpeg_error_mgr base;  // first: the library hands out a pointer to it
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* handler = reinterpret_cast<Handler*>(info->err);
  info->err->format_message(info, handler->message);
  std::longjmp(handler->jump, 1);
}

// The library calls cut-off and corrupt entropy-coded data warnings and fills the rest with grey.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA: break;  // odd, but the picture is whole
    default: on_error(info);
  }
}

void on_output(j_common_ptr) {}

// A small file may ask for thousands of passes over a large picture.
void on_progress(j_common_ptr info) {
  constexpr int kMaxScans = 100;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) ERREXIT(info, JERR_BAD_PROGRESSION);
}

struct Decoder {
  jpeg_decompress_struct info;
  Handler handler;
  jpeg_progress_mgr progress;
  JSAMPLE* pixels;  // of the caller: filled by `read_pixels`
  size_t row_bytes;
};

void set_up(Decoder& decoder) {
  decoder.info.err = jpeg_std_error(&decoder.handler.base);
  decoder.handler.base.error_exit = on_error;
  decoder.handler.base.emit_message = on_message;
  decoder.handler.base.output_message = on_output;
  decoder.handler.message[0] = '\0';
}

bool read_header(Decoder& decoder, const unsigned char* bytes, size_t count) {
  if (setjmp(decoder.handler.jump) != 0) return false;
  jpeg_create_decompress(&decoder.info);
  decoder.progress.progress_monitor = on_progress;
  decoder.info.progress = &decoder.progress;
  jpeg_mem_src(&decoder.info, bytes, static_cast<unsigned long>(count));
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

bool start(Decoder& decoder) {
  if (setjmp(decoder.handler.jump) != 0) return false;
  jpeg_calc_output_dimensions(&decoder.info);
  return true;
}

bool read_pixels(Decoder& decoder) {
  if (setjmp(decoder.handler.jump) != 0) return false;
  jpeg_start_decompress(&decoder.info);
  while (decoder.info.output_scanline < decoder.info.output_height) {
    JSAMPROW row = decoder.pixels + decoder.info.output_scanline * decoder.row_bytes;
    jpeg_read_scanlines(&decoder.info, &row, 1);
  }
  jpeg_finish_decompress(&decoder.info);
  return true;
}

// Owns the library's state; a member function that fails throws after the library has returned.
class Jpeg {
 public:
  Jpeg(std::span<const std::byte> bytes, const std::string& label) : label_(label) {
    set_up(decoder_);
    try {
      if (!read_header(decoder_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size())) fail();
      check_image_fits(decoder_.info.image_height, decoder_.info.image_width, bytes.size(), label_);
    } catch (...) {
      jpeg_destroy_decompress(&decoder_.info);
      throw;
    }
  }
  ~Jpeg() { jpeg_destroy_decompress(&decoder_.info); }
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;

  ImageSize size() const {
    return {static_cast<int>(decoder_.info.image_height), static_cast<int>(decoder_.info.image_width)};
  }

  Image decode(const DecodeOptions& options) {
    auto& info = decoder_.info;
    const bool inks = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
    const bool grey_stored = info.jpeg_color_space == JCS_GRAYSCALE || info.jpeg_color_space == JCS_YCbCr;
    info.out_color_space = inks ? JCS_CMYK : options.channels == 1 && grey_stored ? JCS_GRAYSCALE : JCS_RGB;
    info.scale_num = 1;
    info.scale_denom = 1;
    const ImageSize least = options.at_least;
    if (least.height > 0 && least.width > 0) {
      const auto allowed = [&](unsigned divisor) {
        return info.image_height / divisor >= static_cast<unsigned>(least.height) &&
               info.image_width / divisor >= static_cast<unsigned>(least.width);
      };
      while (info.scale_denom < 8 && allowed(2 * info.scale_denom)) info.scale_denom *= 2;
    }
    if (!start(decoder_)) fail();
    Image image;
    image.height = static_cast<int>(info.output_height);
    image.width = static_cast<int>(info.output_width);
    image.channels = info.out_color_components;
    image.reduction = static_cast<int>(info.scale_denom);
    decoder_.row_bytes = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
    image.pixels.resize(static_cast<size_t>(image.height) * decoder_.row_bytes);
    decoder_.pixels = image.pixels.data();
    if (!read_pixels(decoder_)) fail();
    if (inks) inks_to_rgb(image, info.saw_Adobe_marker != 0);
    return with_channels(std::move(image), options.channels);
  }

 private:
  [[noreturn]] void fail() const {
    throw data_error(fmt::format("corrupt JPEG image: {}", decoder_.handler.message), label_,
                     "replace it, or take it out of the folder");
  }

  // In files of Adobe's programs (all that are met in practice) 255 means no ink.
  static void inks_to_rgb(Image& image, bool inverted) {
    const size_t count = image.pixels.size() / 4;
    for (size_t i = 0; i < count; ++i) {
      unsigned light[4];
      for (size_t c = 0; c < 4; ++c) light[c] = inverted ? image.pixels[4 * i + c] : 255u - image.pixels[4 * i + c];
      for (size_t c = 0; c < 3; ++c) image.pixels[3 * i + c] = static_cast<uint8_t>((light[c] * light[3] + 127) / 255);
    }
    image.pixels.resize(count * 3);
    image.channels = 3;
  }

  Decoder decoder_{};
  const std::string& label_;
};

}  // namespace

bool is_jpeg(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && std::memcmp(bytes.data(), "\xff\xd8\xff", 3) == 0;
}

Image decode_jpeg(std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& label) {
  return Jpeg(bytes, label).decode(options);
}

ImageSize jpeg_size(std::span<const std::byte> bytes, const std::string& label) { return Jpeg(bytes, label).size(); }

}  // namespace amct
