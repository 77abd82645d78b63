// Against numbers of the Python imaging library 13.0 (computed once, for the pattern below).
#include "data/resize.h"

#include <gtest/gtest.h>

namespace amct {
namespace {

using Filter = PreprocessSpec::Filter;

Image pattern(int height, int width, int channels) {
  Image image{height, width, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<uint8_t>((x * 37 + y * 59 + c * 83 + (x * y * (c + 3)) % 31 * 5) % 256));
      }
    }
  }
  return image;
}

std::vector<uint8_t> whole(const Image& image, int height, int width, Filter filter) {
  return resize_window(image, {image.height, image.width}, {height, width}, filter, {0, 0, height, width}).pixels;
}

TEST(Resize, ThePatternIsTheOneOfTheReference) {
  EXPECT_EQ(pattern(2, 3, 3).pixels,
            (std::vector<uint8_t>{0, 83, 166, 37, 120, 203, 74, 157, 240, 59, 142, 225, 111, 199, 31, 163, 0, 93}));
}

TEST(Resize, AntialiasShrinksColour) {
  EXPECT_EQ(
      whole(pattern(7, 9, 3), 3, 4, Filter::kAntialias),
      (std::vector<uint8_t>{92,  122, 141, 130, 121, 124, 127, 134, 104, 137, 125, 149, 123, 103, 108, 132, 137, 94,
                            126, 125, 128, 122, 121, 135, 129, 111, 125, 123, 114, 104, 111, 155, 105, 146, 202, 120}));
}

TEST(Resize, AntialiasGrowsGrey) {
  EXPECT_EQ(
      whole(pattern(5, 4, 1), 8, 9, Filter::kAntialias),
      (std::vector<uint8_t>{0,   6,   23,  39,  56,  72,  88,  105, 111, 26,  33,  53,  72,  91,  111, 130, 149, 157,
                            63,  72,  95,  119, 142, 166, 183, 199, 206, 100, 110, 138, 166, 193, 221, 180, 130, 111,
                            136, 135, 132, 132, 164, 196, 160, 113, 96,  173, 147, 77,  19,  55,  91,  121, 149, 161,
                            210, 182, 109, 50,  90,  130, 136, 138, 138, 236, 209, 139, 82,  126, 169, 151, 126, 116}));
}

TEST(Resize, OneAxisAlone) {
  EXPECT_EQ(whole(pattern(8, 6, 1), 8, 2, Filter::kAntialias),
            (std::vector<uint8_t>{46, 139, 124, 94, 170, 145, 88, 132, 146, 144, 96, 93, 167, 98, 65, 104}));
}

TEST(Resize, Nearest) {
  EXPECT_EQ(whole(pattern(7, 9, 1), 3, 4, Filter::kNearest),
            (std::vector<uint8_t>{111, 215, 63, 167, 3, 167, 176, 185, 151, 220, 33, 102}));
}

TEST(Resize, AreaIsTheMeanOfWholeBlocks) {
  // Both axes are rounded to 8 bits one after the other, hence one level of slack.
  const std::vector<double> means = {74, 122.1667, 127.6667, 136.6667, 137.8333, 121, 114, 118.6667, 140.1667};
  const auto pixels = whole(pattern(6, 9, 1), 3, 3, Filter::kArea);
  ASSERT_EQ(pixels.size(), means.size());
  for (size_t i = 0; i < means.size(); ++i) EXPECT_NEAR(pixels[i], means[i], 1.0) << i;
}

TEST(Resize, AreaCountsPartsOfPixels) {
  // 5 -> 2: the middle pixel belongs half to each side.
  EXPECT_EQ(whole({1, 5, 1, {10, 20, 200, 40, 50}}, 1, 2, Filter::kArea), (std::vector<uint8_t>{52, 76}));
}

TEST(Resize, SameSizeChangesNothing) {
  const Image image = pattern(6, 5, 3);
  for (const Filter filter : {Filter::kAntialias, Filter::kArea, Filter::kNearest}) {
    EXPECT_EQ(whole(image, 6, 5, filter), image.pixels);
  }
}

TEST(Resize, AReducedPictureKeepsItsPlace) {
  // A ramp of 13 columns at half size has 7, the last of which covers half a column: still the same ramp.
  Image half{1, 7, 1, {5, 25, 45, 65, 85, 105, 120}};
  half.reduction = 2;
  const Image result = resize_window(half, {2, 13}, {1, 3}, Filter::kArea, {0, 0, 1, 3});
  const std::vector<double> means = {16.6667, 60, 102.5};  // over 6.5 / 3 columns of the reduced picture
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(result.pixels[i], means[i], 2) << i;
}

TEST(Resize, AWindowIsAPartOfTheWhole) {
  const Image image = pattern(13, 11, 3);
  for (const Filter filter : {Filter::kAntialias, Filter::kArea, Filter::kNearest}) {
    for (const ImageSize size : {ImageSize{7, 6}, ImageSize{13, 6}, ImageSize{7, 11}, ImageSize{20, 17}}) {
      const auto all = whole(image, size.height, size.width, filter);
      const Window window{2, 1, 4, 3};
      const auto part = resize_window(image, {image.height, image.width}, size, filter, window);
      ASSERT_EQ(part.pixels.size(), 4u * 3u * 3u);
      for (int y = 0; y < window.height; ++y) {
        for (int x = 0; x < window.width * 3; ++x) {
          EXPECT_EQ(part.pixels[static_cast<size_t>(y * window.width * 3 + x)],
                    all[static_cast<size_t>((y + window.top) * size.width * 3 + window.left * 3 + x)]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace amct
