#include "data/preprocess.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace amct {
namespace {

using Spec = PreprocessSpec;

TEST(Preprocess, Presets) {
  const Spec imagenet = parse_preprocess("imagenet");
  EXPECT_EQ(imagenet.resize, 256);
  EXPECT_EQ(imagenet.crop, (std::vector<int>{224, 224}));
  EXPECT_EQ(imagenet.mean, (std::vector<float>{123.675f, 116.28f, 103.53f}));
  EXPECT_EQ(imagenet.std, (std::vector<float>{58.395f, 57.12f, 57.375f}));
  const Spec tf = parse_preprocess("imagenet-tf");
  EXPECT_EQ(tf.mean, std::vector<float>{127.5f});
  EXPECT_EQ(tf.std, std::vector<float>{127.5f});
  EXPECT_EQ(tf.crop, (std::vector<int>{224, 224}));
  for (const char* name : {"cifar", "unit"}) {
    EXPECT_EQ(parse_preprocess(name).std, std::vector<float>{255.0f});
    EXPECT_EQ(parse_preprocess(name).resize, 0);
    EXPECT_TRUE(parse_preprocess(name).crop.empty());
  }
  EXPECT_EQ(parse_preprocess("mnist").color, Spec::Color::kGrey);
  EXPECT_EQ(parse_preprocess("mnist").std, std::vector<float>{1.0f});
}

TEST(Preprocess, Pairs) {
  const Spec spec =
      parse_preprocess(" resize=240x320 , crop=200x100,mean=1/2/3,std=4 5 6,color=bgr,layout=nhwc,filter=area");
  EXPECT_EQ(spec.resize, 0);
  EXPECT_EQ(spec.resize_to, (std::vector<int>{240, 320}));
  EXPECT_EQ(spec.crop, (std::vector<int>{200, 100}));
  EXPECT_EQ(spec.mean, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(spec.std, (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(spec.color, Spec::Color::kBgr);
  EXPECT_EQ(spec.layout, Spec::Layout::kChannelsLast);
  EXPECT_EQ(spec.filter, Spec::Filter::kArea);
  EXPECT_EQ(parse_preprocess("mean=127").layout, Spec::Layout::kFromModel);
}

TEST(Preprocess, APresetMayBeChanged) {
  const Spec spec = parse_preprocess("imagenet,resize=232,color=bgr");
  EXPECT_EQ(spec.resize, 232);
  EXPECT_EQ(spec.crop, (std::vector<int>{224, 224}));
  EXPECT_EQ(spec.mean, (std::vector<float>{103.53f, 116.28f, 123.675f}));  // blue first, like the channels
  EXPECT_EQ(parse_preprocess("imagenet,color=bgr,mean=1/2/3").mean, (std::vector<float>{1, 2, 3}));
}

TEST(Preprocess, FaultsSayWhatHelps) {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_preprocess(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kConfig);
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(message("imagnet").find("imagenet"), std::string::npos);
  EXPECT_NE(message("resise=3").find("did you mean 'resize'?"), std::string::npos);
  for (const char* text : {"", "unit,imagenet", "crop=224,unit", "resize=0", "resize=-3", "crop=1x2x3",
                           "crop=", "mean=a", "mean=1/2", "mean=nan", "std=0", "std=1/-1/1", "color=red", "layout=hwc",
                           "filter=bicubic", "resize=99999999", "mnist,mean=1/2/3", "resize=2.5"}) {
    EXPECT_NE(message(text).find("--preprocess"), std::string::npos) << text << ": " << message(text);
  }
}

}  // namespace
}  // namespace amct
