// What happens to an image before the network sees it: --preprocess as data.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace amct {

struct PreprocessSpec {
  enum class Color { kRgb, kBgr, kGrey };
  enum class Layout { kFromModel, kChannelsFirst, kChannelsLast };
  enum class Filter { kAntialias, kArea, kNearest };  // antialias = bilinear with support scaled to the reduction

  int resize = 0;              // short side, keeping the aspect; 0 = no resize
  std::vector<int> resize_to;  // {height, width} exactly; empty = not used
  std::vector<int> crop;       // centre crop {height, width}; empty = none
  std::vector<float> mean{0};  // y = (x - mean) / std on x in 0..255; one value or one per channel
  std::vector<float> std{1};
  Color color = Color::kRgb;
  Layout layout = Layout::kFromModel;
  Filter filter = Filter::kAntialias;
};

// A preset (imagenet, imagenet-tf, cifar, mnist, unit) or key=value pairs separated by commas:
// resize=256,crop=224,mean=…,std=…,color=rgb|bgr|grey,layout=nchw|nhwc,filter=antialias|area|nearest; a preset may be
// followed by pairs that change it. Several numbers are separated by "/" or spaces. resize=256 sets the short side,
// resize=240x320 height and width; crop=224 is a square, crop=240x320 is not. mean and std are on the scale 0..255 and
// in the order of the network's channels (a preset's own are turned around by color=bgr). Throws Error(kConfig).
PreprocessSpec parse_preprocess(std::string_view text);

}  // namespace amct
