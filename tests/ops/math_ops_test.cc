// What the samples of losses, determinants, windows, n-grams and image blocks cannot say: errors and corner cases.
#include <cmath>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

Attrs reduction(const char* name) { return {{"reduction", std::string(name)}}; }

TEST(Loss, RefusesWhatDoesNotFit) {
  const char* op = "negative_log_likelihood_loss";
  EXPECT_ERROR(run_op(op, {floats({5}, {1, 2, 3, 4, 5}), ints({1})}), "no axis of classes");
  EXPECT_ERROR(run_op(op, {iota({2, 5}), ints({1, 2, 3})}), "do not fit scores");
  EXPECT_ERROR(run_op(op, {iota({2, 5}), floats({2}, {1, 2})}), "float32");
  EXPECT_ERROR(run_op(op, {iota({2, 5}, DType::kInt32), ints({1, 2})}), "int32");
  EXPECT_ERROR(run_op(op, {iota({2, 5}), ints({1, 2}), iota({4})}), "do not fit 5 classes");
  EXPECT_ERROR(run_op(op, {iota({2, 5}), ints({1, 2}), iota({5}, DType::kFloat64)}), "weights are float64");
  EXPECT_ERROR(run_op(op, {iota({2, 5}), ints({1, 2})}, reduction("max")), "'max' is not none");
  EXPECT_ERROR(run_op(op, {iota({2, 5}), ints({1, 5})}), "target 5 is no class of 5");
  EXPECT_ERROR(run_op("softmax_cross_entropy_loss", {iota({2, 5}), ints({-1, 0})}), "target -1");
}

TEST(Loss, IgnoredTargetsMayBeAnything) {
  const Attrs attrs{{"ignore_index", int64_t{-100}}};
  const Tensor x = floats({2, 2}, {-1, -2, -3, -4});
  EXPECT_EQ(values_of<float>(run_op("negative_log_likelihood_loss", {x, ints({-100, 1})}, attrs)),
            (std::vector<float>{4}));
  const Tensor nothing = run_op("negative_log_likelihood_loss", {x, ints({-100, -100})}, attrs);
  EXPECT_TRUE(std::isnan(nothing.values<float>()[0])) << "the mean of nothing";
}

TEST(Loss, LargeScoresDoNotOverflow) {
  const std::vector<Tensor> outputs =
      run_all("softmax_cross_entropy_loss", {floats({1, 2}, {1000, -1000}), ints({1})}, reduction("none"), 2);
  EXPECT_EQ(values_of<float>(outputs[0]), (std::vector<float>{2000}));
  EXPECT_EQ(values_of<float>(outputs[1]), (std::vector<float>{0, -2000}));
}

TEST(Det, RefusesWhatIsNotSquare) {
  EXPECT_ERROR(run_op("det", {iota({2, 3})}), "not square");
  EXPECT_ERROR(run_op("det", {iota({3})}), "no matrices");
  EXPECT_ERROR(run_op("det", {iota({2, 2}, DType::kInt32)}), "int32");
  EXPECT_EQ(values_of<float>(run_op("det", {floats({2, 0, 0}, {})})), (std::vector<float>{1, 1}));
}

TEST(WindowFunction, RefusesSizesAndTypes) {
  EXPECT_ERROR(run_op("hann_window", {ints({-1})}), "not one number");
  EXPECT_ERROR(run_op("hann_window", {ints({3, 4})}), "not one number");
  EXPECT_ERROR(run_op("hann_window", {ints({3})}, {{"output_datatype", int64_t{8}}}), "no type of numbers");
  EXPECT_EQ(run_op("hann_window", {ints({0})}).dims(), Dims{0});
  EXPECT_EQ(values_of<float>(run_op("hamming_window", {ints({1})}, {{"periodic", int64_t{0}}})), std::vector<float>{1});
}

TEST(MelWeightMatrix, RefusesEdgesOutsideTheSpectrum) {
  const auto mel = [](int64_t rate, float low, float high) {
    return run_op("mel_weight_matrix", {Tensor::scalar<int64_t>(4), Tensor::scalar<int64_t>(16), Tensor::scalar(rate),
                                        Tensor::scalar(low), Tensor::scalar(high)});
  };
  EXPECT_EQ(mel(8000, 0, 4000).dims(), (Dims{9, 4}));
  EXPECT_ERROR(mel(8000, 0, 50000), "outside the spectrum");
  EXPECT_ERROR(mel(8000, -900, 3000), "outside the spectrum");
  EXPECT_ERROR(mel(0, 0, 3000), "sample rate");
}

TEST(CenterCropPad, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(run_op("center_crop_pad", {iota({3, 4}), ints({2})}), "does not fit 2 axes");
  EXPECT_ERROR(run_op("center_crop_pad", {iota({3, 4}), ints({2, -1})}), "negative extent");
  EXPECT_ERROR(run_op("center_crop_pad", {iota({3, 4}), ints({2})}, {{"axes", Ints{2}}}), "axis 2");
  EXPECT_EQ(values_of<float>(run_op("center_crop_pad", {iota({4}), ints({1})})), std::vector<float>{1});
  EXPECT_EQ(values_of<float>(run_op("center_crop_pad", {iota({2}), ints({5})})), (std::vector<float>{0, 0, 1, 0, 0}));
}

TEST(Col2Im, RefusesWhatDoesNotFit) {
  const auto run = [](Dims x, Ints image, Ints block, Attrs attrs = {}) {
    return run_op("col2im", {iota(std::move(x)), ints(image), ints(block)}, std::move(attrs));
  };
  EXPECT_ERROR(run({1, 4}, {3, 3}, {2, 2}), "is not (samples");
  EXPECT_ERROR(run({1, 4, 5}, {3, 3}, {2, 2}), "5 blocks where the image holds 4");
  EXPECT_ERROR(run({1, 5, 4}, {3, 3}, {2, 2}), "no blocks of 4");
  EXPECT_ERROR(run({1, 4, 4}, {3, 3}, {4, 1}), "does not fit into axis 0");
  EXPECT_ERROR(run({1, 4, 4}, {3, 3}, {2}), "do not fit an image");
  EXPECT_ERROR(run({1, 4, 4}, {3, 0}, {2, 2}), "do not fit an image");
  EXPECT_ERROR(run({1, 4, 4}, {3, 3}, {2, 2}, {{"strides", Ints{0, 1}}}), "strides");
  EXPECT_ERROR(run({1, 4, 4}, {3, 3}, {2, 2}, {{"pads", Ints{0, 1}}}), "pads");
}

Attrs bigrams() {
  return {{"mode", std::string("TF")},      {"min_gram_length", int64_t{2}}, {"max_gram_length", int64_t{2}},
          {"max_skip_count", int64_t{0}},   {"ngram_counts", Ints{0, 0}},    {"ngram_indexes", Ints{1, 0}},
          {"pool_int64s", Ints{5, 6, 7, 8}}};
}

TEST(TfIdfVectorizer, CountsAndRefuses) {
  const auto run = [](const Tensor& x, const char* name, AttrValue value) {
    Attrs attrs = bigrams();
    attrs.set(name, std::move(value));
    return run_op("tfidf_vectorizer", {x}, std::move(attrs));
  };
  EXPECT_EQ(values_of<float>(run_op("tfidf_vectorizer", {ints({5, 6, 7, 8, 5, 6})}, bigrams())),
            (std::vector<float>{1, 2}));
  EXPECT_EQ(values_of<float>(run_op("tfidf_vectorizer", {ints({})}, bigrams())), (std::vector<float>{0, 0}));
  EXPECT_ERROR(run(iota({2}), "mode", std::string("TF")), "float32");
  EXPECT_ERROR(run(ints({1}), "mode", std::string("BM25")), "'BM25'");
  EXPECT_ERROR(run(ints({1}), "ngram_counts", Ints{0, 9}), "do not fit a pool");
  EXPECT_ERROR(run(ints({1}), "ngram_indexes", Ints{1}), "fewer entries");
  EXPECT_ERROR(run(ints({1}), "ngram_indexes", Ints{1, -1}), "holds -1");
  EXPECT_ERROR(run(ints({1}), "min_gram_length", int64_t{3}), "n-grams of 3 to 2");
  EXPECT_ERROR(run(ints({1}), "weights", std::vector<double>{1}), "weights do not fit");
}

TEST(BatchNormTraining, NormalizesByTheBatch) {
  const Tensor one = floats({1}, {1}), zero = floats({1}, {0});
  const std::vector<Tensor> outputs =
      run_all("batch_norm_training", {floats({4, 1}, {1, 3, 5, 7}), one, zero, one, one},
              {{"epsilon", 0.0}, {"momentum", 0.5}}, 3);
  EXPECT_FLOAT_EQ(outputs[0].values<float>()[3], 3 / std::sqrt(5.0f));
  EXPECT_EQ(values_of<float>(outputs[1]), (std::vector<float>{2.5}));
  EXPECT_EQ(values_of<float>(outputs[2]), (std::vector<float>{3})) << "the variance of the population, 5, halved";
  EXPECT_ERROR(run_op("batch_norm_training", {iota({4, 2}), one, zero, one, one}), "shape");
  EXPECT_ERROR(run_op("batch_norm_training", {iota({4}), one, zero, one, one}), "rank");
}

TEST(SmallFloats, CastsAndScales) {
  const Tensor x = floats({4}, {0.3f, -500, 7, 1});
  const Tensor small = run_op("cast", {x}, {{"to", int64_t{17}}});  // float8e4m3fn
  EXPECT_EQ(small.dtype(), DType::kFloat8E4M3FN);
  EXPECT_EQ(small.to_doubles(), (std::vector<double>{0.3125, -448, 7, 1}));
  EXPECT_EQ(values_of<int64_t>(run_op("cast", {small}, {{"to", int64_t{7}}})), (Ints{0, -448, 7, 1}));
  EXPECT_EQ(run_op("cast_like", {small, iota({1}, DType::kBool)}).to_int64s(), (Ints{1, 1, 1, 1}));
  EXPECT_EQ(run_op("dequantize_linear", {small, Tensor::scalar(2.0f)}).to_doubles()[1], -896);
  const Tensor one = Tensor::scalar(1.0f).cast(DType::kFloat8E4M3FN);
  EXPECT_ERROR(run_op("quantize_linear", {x, Tensor::scalar(1.0f), one}), "is not 0");
  EXPECT_ERROR(run_op("dequantize_linear", {small, Tensor::scalar(1.0f), one}), "is not 0");
  EXPECT_ERROR(run_op("quantize_linear", {x, Tensor::scalar(1.0f)}, {{"output_dtype", int64_t{1}}}),
               "no type to quantize");
  EXPECT_ERROR(run_op("cast", {x}, {{"to", int64_t{14}}}), "complex64");
}

}  // namespace
}  // namespace amct::testing
