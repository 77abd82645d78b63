// PNG through libpng. The library reports errors by longjmp: between setjmp and the end of its use, functions here hold
// no C++ object with a destructor; they fill memory that their caller owns.
#include <fmt/core.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <utility>

#include "data/image.h"
#include "data/input_file.h"

namespace amct {
namespace {

constexpr size_t kSignatureBytes = 8;
constexpr size_t kMessageBytes = 200;
constexpr unsigned char kLastChunk[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};

struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const std::byte* next = nullptr;
  size_t left = 0;
  std::jmp_buf jump;
  char message[kMessageBytes] = {};
  png_bytepp rows = nullptr;  // of the caller
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(decoder->message, text, kMessageBytes - 1);
  std::longjmp(decoder->jump, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep destination, size_t count) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > decoder->left) png_error(png, "the file ends too early");
  std::memcpy(destination, decoder->next, count);
  decoder->next += count;
  decoder->left -= count;
}

bool read_header(Decoder& decoder) {
  if (setjmp(decoder.jump) != 0) return false;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png == nullptr) return false;
  decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) return false;
  png_set_user_limits(decoder.png, static_cast<png_uint_32>(kMaxImagePixels),
                      static_cast<png_uint_32>(kMaxImagePixels));
  png_set_read_fn(decoder.png, &decoder, on_read);
  png_read_info(decoder.png, decoder.info);
  return true;
}

// Asks for 8-bit grey or RGB without alpha, whatever the file has.
bool set_form(Decoder& decoder, bool grey) {
  if (setjmp(decoder.jump) != 0) return false;
  const int stored = png_get_color_type(decoder.png, decoder.info);
  png_set_scale_16(decoder.png);
  png_set_packing(decoder.png);
  if (stored == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(decoder.png);
  if ((stored & PNG_COLOR_MASK_COLOR) == 0) {
    png_set_expand_gray_1_2_4_to_8(decoder.png);
    if (!grey) png_set_gray_to_rgb(decoder.png);
  }
  png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

bool read_pixels(Decoder& decoder) {
  if (setjmp(decoder.jump) != 0) return false;
  png_read_image(decoder.png, decoder.rows);
  png_read_end(decoder.png, nullptr);
  // The last chunk is the same in every file; not every version of the library compares its checksum.
  if (std::memcmp(decoder.next - sizeof(kLastChunk), kLastChunk, sizeof(kLastChunk)) != 0) {
    png_error(decoder.png, "IEND: CRC error");
  }
  return true;
}

// Owns the library's state; a member function that fails throws after the library has returned.
class Png {
 public:
  Png(std::span<const std::byte> bytes, const std::string& label) : label_(label) {
    decoder_.next = bytes.data();
    decoder_.left = bytes.size();
    try {
      if (!read_header(decoder_)) fail();
      check_image_fits(png_get_image_height(decoder_.png, decoder_.info),
                       png_get_image_width(decoder_.png, decoder_.info), bytes.size(), label_);
    } catch (...) {
      release();
      throw;
    }
  }
  ~Png() { release(); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;

  ImageSize size() const {
    return {static_cast<int>(png_get_image_height(decoder_.png, decoder_.info)),
            static_cast<int>(png_get_image_width(decoder_.png, decoder_.info))};
  }

  Image decode(const DecodeOptions& options) {
    if (!set_form(decoder_, options.channels == 1)) fail();
    Image image;
    image.height = size().height;
    image.width = size().width;
    image.channels = png_get_channels(decoder_.png, decoder_.info);
    const size_t row_bytes = png_get_rowbytes(decoder_.png, decoder_.info);
    const size_t expected = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
    if (row_bytes != expected || (image.channels != 1 && image.channels != 3)) fail();
    image.pixels.resize(static_cast<size_t>(image.height) * row_bytes);
    std::vector<png_bytep> rows(static_cast<size_t>(image.height));
    for (size_t y = 0; y < rows.size(); ++y) rows[y] = image.pixels.data() + y * row_bytes;
    decoder_.rows = rows.data();
    if (!read_pixels(decoder_)) fail();
    return with_channels(std::move(image), options.channels);
  }

 private:
  void release() { png_destroy_read_struct(&decoder_.png, &decoder_.info, nullptr); }
  [[noreturn]] void fail() const {
    throw data_error(fmt::format("corrupt PNG image: {}", decoder_.message), label_,
                     "replace it, or take it out of the folder");
  }

  Decoder decoder_;
  const std::string& label_;
};

}  // namespace

bool is_png(std::span<const std::byte> bytes) {
  return bytes.size() >= kSignatureBytes &&
         png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, kSignatureBytes) == 0;
}

Image decode_png(std::span<const std::byte> bytes, const DecodeOptions& options, const std::string& label) {
  return Png(bytes, label).decode(options);
}

ImageSize png_size(std::span<const std::byte> bytes, const std::string& label) { return Png(bytes, label).size(); }

}  // namespace amct
