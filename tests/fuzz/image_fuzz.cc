// JPEG and PNG: the header alone, in grey and colour, at full size and reduced.
#include <zlib.h>

#include <algorithm>

#include "data/image.h"
#include "data/input_file.h"
#include "fuzz/fuzz_input.h"

using namespace amct;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = fuzz::bytes_of(data, size);
  ImageSize header;
  // Large pictures are legal; here they would only cost time.
  constexpr int64_t kLargest = 1 << 20;
  if (!fuzz::accepts([&] { header = image_size(bytes, "image"); })) return 0;
  if (int64_t{header.height} * header.width > kLargest) return 0;
  for (const int channels : {1, 3}) {
    fuzz::accepts([&] {
      const Image image = decode_image(bytes, {.channels = channels}, "image");
      fuzz::check(image.height == header.height && image.width == header.width, "the header lied");
      fuzz::check(
          image.pixels.size() == static_cast<size_t>(image.height) * static_cast<size_t>(image.width * channels),
          "pixels do not fill the image");
    });
  }
  const ImageSize half{std::max(1, header.height / 3), std::max(1, header.width / 3)};
  fuzz::accepts([&] { (void)decode_image(bytes, {.channels = 3, .at_least = half}, "image"); });
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Checksums of PNG chunks are put right, or no mutant would get behind the first.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  constexpr size_t kSignature = 8, kAround = 12;
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0 || !is_png(fuzz::bytes_of(data, size))) return size;
  for (size_t at = kSignature; size - at >= kAround;) {
    const uint64_t length = read_big(fuzz::bytes_of(data + at, 4));
    if (length > size - at - kAround) break;
    const auto sum = crc32(0, data + at + 4, static_cast<uInt>(length + 4));
    for (int i = 0; i < 4; ++i)
      data[at + 8 + length + static_cast<size_t>(i)] = static_cast<uint8_t>(sum >> (24 - 8 * i));
    at += length + kAround;
  }
  return size;
}
