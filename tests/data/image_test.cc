#include "data/image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/image_files.h"

namespace amct {
namespace {

std::span<const std::byte> bytes_of(const std::string& file) { return std::as_bytes(std::span(file)); }

Image decode(const std::string& file, int channels = 3, ImageSize at_least = {}) {
  return decode_image(bytes_of(file), {channels, at_least}, "picture");
}

// A smooth picture, which JPEG keeps to within a few levels.
std::vector<uint8_t> smooth(int height, int width, int channels) {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        pixels.push_back(static_cast<uint8_t>(128 + 60 * std::sin(0.07 * x + c) + 50 * std::cos(0.05 * y - c)));
      }
    }
  }
  return pixels;
}

double worst(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  EXPECT_EQ(a.size(), b.size());
  int result = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) result = std::max(result, std::abs(a[i] - b[i]));
  return result;
}

void expect_fault(const std::string& file, const std::string& what) {
  try {
    decode(file);
    ADD_FAILURE() << "decoded: " << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInput) << what;
    EXPECT_NE(std::string(error.what()).find("picture"), std::string::npos) << error.what();
  }
}

TEST(Jpeg, ColourGreyAndBothWays) {
  const auto colour = smooth(37, 53, 3);
  const Image image = decode(jpeg_file(37, 53, 3, colour));
  EXPECT_EQ(image.height, 37);
  EXPECT_EQ(image.width, 53);
  EXPECT_LE(worst(image.pixels, colour), 8);
  const auto grey = smooth(19, 23, 1);
  EXPECT_LE(worst(decode(jpeg_file(19, 23, 1, grey), 1).pixels, grey), 4);
  const Image widened = decode(jpeg_file(19, 23, 1, grey), 3);
  ASSERT_EQ(widened.pixels.size(), grey.size() * 3);
  for (size_t i = 0; i < grey.size(); ++i) EXPECT_EQ(widened.pixels[3 * i], widened.pixels[3 * i + 2]);
  const Image narrowed = decode(jpeg_file(37, 53, 3, colour), 1);
  ASSERT_EQ(narrowed.pixels.size(), 37u * 53u);
  for (size_t i = 0; i < narrowed.pixels.size(); ++i) {
    EXPECT_NEAR(narrowed.pixels[i], 0.299 * colour[3 * i] + 0.587 * colour[3 * i + 1] + 0.114 * colour[3 * i + 2], 8);
  }
}

TEST(Jpeg, Progressive) {
  const auto colour = smooth(37, 53, 3);
  EXPECT_LE(worst(decode(jpeg_file(37, 53, 3, colour, 95, true)).pixels, colour), 8);
}

TEST(Jpeg, InksOfAdobe) {
  std::vector<uint8_t> inks;
  for (int i = 0; i < 16 * 16; ++i) inks.insert(inks.end(), {200, 100, 50, 128});
  for (const int channels : {3, 1}) {
    const Image image = decode(jpeg_file(16, 16, 4, inks), channels);
    ASSERT_EQ(image.pixels.size(), 256u * static_cast<size_t>(channels));
    if (channels == 1) {
      EXPECT_NEAR(image.pixels[100], 0.299 * 100 + 0.587 * 50 + 0.114 * 25, 3);
    } else {
      EXPECT_NEAR(image.pixels[300], 200 * 128 / 255, 3);
      EXPECT_NEAR(image.pixels[301], 100 * 128 / 255, 3);
      EXPECT_NEAR(image.pixels[302], 50 * 128 / 255, 3);
    }
  }
}

TEST(Jpeg, ReducedScaleKeepsBothSidesLargeEnough) {
  const std::string file = jpeg_file(160, 240, 3, smooth(160, 240, 3));
  const auto size = [&](ImageSize at_least) {
    const Image image = decode(file, 3, at_least);
    return std::pair(image.height, image.width);
  };
  EXPECT_EQ(size({}), std::pair(160, 240));
  EXPECT_EQ(size({81, 81}), std::pair(160, 240));
  EXPECT_EQ(size({80, 121}), std::pair(160, 240));
  EXPECT_EQ(size({80, 120}), std::pair(80, 120));
  EXPECT_EQ(size({1, 1}), std::pair(20, 30));
}

TEST(Jpeg, CutAnywhereIsAnError) {
  for (const bool progressive : {false, true}) {
    const std::string whole = jpeg_file(24, 40, 3, smooth(24, 40, 3), 80, progressive);
    for (size_t length = 0; length + 2 < whole.size(); ++length) {
      expect_fault(whole.substr(0, length), "cut to " + std::to_string(length));
    }
  }
}

TEST(Jpeg, AnyByteWrong) {
  const std::string whole = jpeg_file(24, 40, 3, smooth(24, 40, 3), 80, true);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string mutant = whole;
      mutant[at] = static_cast<char>(mutant[at] ^ flip);
      try {
        decode(mutant);
      } catch (const Error&) {
      }
    }
  }
}

TEST(Png, EveryFormOfPixels) {
  const std::vector<uint8_t> rgb = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120};
  EXPECT_EQ(decode(png_file(2, 2, rgb)).pixels, rgb);
  EXPECT_EQ(decode(png_file(2, 2, rgb, {.interlaced = true})).pixels, rgb);
  EXPECT_EQ(decode(png_file(2, 2, rgb), 1).pixels, (std::vector<uint8_t>{18, 48, 78, 108}));
  const std::vector<uint8_t> grey = {1, 2, 3, 250};
  EXPECT_EQ(decode(png_file(2, 2, grey, {.color = PNG_COLOR_TYPE_GRAY}), 1).pixels, grey);
  EXPECT_EQ(decode(png_file(1, 2, {7, 9}, {.color = PNG_COLOR_TYPE_GRAY})).pixels,
            (std::vector<uint8_t>{7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(decode(png_file(1, 8, {0b10110001}, {.color = PNG_COLOR_TYPE_GRAY, .bits = 1}), 1).pixels,
            (std::vector<uint8_t>{255, 0, 255, 255, 0, 0, 0, 255}));
  EXPECT_EQ(decode(png_file(1, 2, {1, 2, 3, 0, 4, 5, 6, 128}, {.color = PNG_COLOR_TYPE_RGB_ALPHA})).pixels,
            (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(decode(png_file(1, 2, {9, 0, 8, 200}, {.color = PNG_COLOR_TYPE_GRAY_ALPHA}), 1).pixels,
            (std::vector<uint8_t>{9, 8}));
  // 16 bits: 0x80ff = 33023 is 128.49 of 255.
  EXPECT_EQ(decode(png_file(1, 2, {0x80, 0xff, 0xff, 0xff}, {.color = PNG_COLOR_TYPE_GRAY, .bits = 16}), 1).pixels,
            (std::vector<uint8_t>{128, 255}));
  const PngForm palette{.color = PNG_COLOR_TYPE_PALETTE, .bits = 8, .palette = {{1, 2, 3}, {200, 100, 50}}};
  EXPECT_EQ(decode(png_file(1, 2, {1, 0}, palette)).pixels, (std::vector<uint8_t>{200, 100, 50, 1, 2, 3}));
}

TEST(Png, CutAnywhereIsAnError) {
  const std::string whole = png_file(5, 7, smooth(5, 7, 3));
  for (size_t length = 0; length < whole.size(); ++length) {
    expect_fault(whole.substr(0, length), "cut to " + std::to_string(length));
  }
}

TEST(Png, AnyByteWrongIsNoticed) {
  const std::string whole = png_file(5, 7, smooth(5, 7, 3));
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string mutant = whole;
    mutant[at] = static_cast<char>(mutant[at] ^ 0x10);
    expect_fault(mutant, "byte " + std::to_string(at));
  }
}

TEST(Image, ExtentsAreLimitedBeforeMemoryIsTaken) {
  std::string jpeg = jpeg_file(16, 16, 1, smooth(16, 16, 1));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xf0\xff\xf0");
  expect_fault(jpeg, "65520 x 65520");
  EXPECT_THROW(check_image_size(1 << 20, 1 << 20, "picture"), Error);
  EXPECT_THROW(check_image_size(0, 5, "picture"), Error);
  EXPECT_NO_THROW(check_image_size(10000, 10000, "picture"));
  EXPECT_NO_THROW(check_image_fits(10000, 10000, 20000, "picture"));
  EXPECT_THROW(check_image_fits(10000, 10000, 10000, "picture"), Error);
  EXPECT_NO_THROW(check_image_fits(1000, 1000, 60, "picture"));
  // A whole file is larger, however little it shows; a header alone is not taken at its word.
  const std::string blank = png_file(3000, 4000, std::vector<uint8_t>(3000 * 500), {PNG_COLOR_TYPE_GRAY, 1, false, {}});
  EXPECT_EQ(decode_image(bytes_of(blank), {.channels = 1}, "picture").width, 4000);
  EXPECT_THROW((void)image_size(bytes_of(blank.substr(0, 100)), "picture"), Error);
}

TEST(Image, TheFormatIsToldByTheContents) {
  expect_fault("", "empty");
  expect_fault("GIF89a", "another format");
  EXPECT_EQ(image_size(bytes_of(png_file(5, 7, smooth(5, 7, 3))), "picture").width, 7);
  EXPECT_EQ(image_size(bytes_of(jpeg_file(5, 7, 1, smooth(5, 7, 1))), "picture").height, 5);
}

}  // namespace
}  // namespace amct
