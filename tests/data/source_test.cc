#include "data/source.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "data/image_files.h"
#include "data/npy.h"
#include "data/temporary_folder.h"

namespace amct {
namespace {

InputSpec input(std::vector<Dim> dims, DType dtype = DType::kFloat32, const std::string& name = "x") {
  return {name, dtype, std::move(dims)};
}

std::string big(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

class SourceTest : public TemporaryFolder {
 protected:
  std::unique_ptr<DataSource> open(const std::string& name, const std::vector<InputSpec>& inputs,
                                   const std::string& preprocess = "") const {
    DataOptions options;
    if (!preprocess.empty()) options.preprocess = parse_preprocess(preprocess);
    return open_data(path(name), inputs, options);
  }
  std::string fault(const std::string& name, const std::vector<InputSpec>& inputs,
                    const std::string& preprocess = "") const {
    try {
      const auto source = open(name, inputs, preprocess);
      for (size_t i = 0; i < source->size(); ++i) read(*source, inputs, i);
    } catch (const Error& error) {
      return error.what();
    }
    return "no fault";
  }
  static std::vector<Tensor> read(const DataSource& source, const std::vector<InputSpec>& inputs, size_t index) {
    const auto dims = source.sample_dims(index);
    std::vector<Tensor> tensors;
    std::vector<MutableView> views;
    for (size_t i = 0; i < inputs.size(); ++i) tensors.push_back(Tensor::allocate(inputs[i].dtype, dims[i]));
    for (Tensor& tensor : tensors) views.push_back(tensor.mutable_view());
    source.read(index, views);
    return tensors;
  }
  std::vector<double> values(const DataSource& source, const InputSpec& spec, size_t index) const {
    return read(source, {spec}, index)[0].to_doubles();
  }
  // One pixel per channel value, 2 x 3, so that every position is told apart.
  void write_picture(const std::string& name, uint8_t base) const {
    std::vector<uint8_t> pixels;
    for (int i = 0; i < 18; ++i) pixels.push_back(static_cast<uint8_t>(base + i));
    write(name, png_file(2, 3, pixels));
  }
};

TEST_F(SourceTest, ImagesInByteOrderOthersIgnored) {
  write_picture("d/b.png", 100);
  write_picture("d/a10.png", 50);
  write_picture("d/a9.PNG", 20);
  write("d/labels.txt", "a9.PNG 1\na10.png 2\nb.png 3\n");
  write("d/notes.npy", "not read");
  write("d/.hidden.png", "not read");
  const InputSpec spec = input({1, 3, 2, 3});
  const auto source = open("d", {spec}, "std=1");
  ASSERT_EQ(source->size(), 3u);
  EXPECT_EQ(source->sample_name(0), "a10.png");
  EXPECT_EQ(source->sample_name(1), "a9.PNG");
  EXPECT_EQ(values(*source, spec, 0),
            (std::vector<double>{50, 53, 56, 59, 62, 65, 51, 54, 57, 60, 63, 66, 52, 55, 58, 61, 64, 67}));
  EXPECT_EQ(read_labels(path("d/labels.txt"), *source), (std::vector<int64_t>{2, 1, 3}));
}

TEST_F(SourceTest, LayoutsColoursAndNumbers) {
  write_picture("d/a.png", 0);
  const auto only = [&](std::vector<Dim> dims, const std::string& preprocess, DType dtype = DType::kFloat32) {
    const InputSpec spec = input(std::move(dims), dtype);
    return values(*open("d", {spec}, preprocess), spec, 0);
  };
  EXPECT_EQ(only({1, 2, 3, 3}, "std=1"),  // channels last, from the model
            (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(only({1, 3, 2, 3}, "color=bgr,mean=2/1/0,std=1/2/4"),
            (std::vector<double>{0, 3, 6, 9, 12, 15, 0, 1.5, 3, 4.5, 6, 7.5, 0, 0.75, 1.5, 2.25, 3, 3.75}));
  EXPECT_EQ(only({1, 1, 2, 3}, "color=grey"), (std::vector<double>{1, 4, 7, 10, 13, 16}));
  EXPECT_EQ(only({1, 2, 3}, "mnist"), (std::vector<double>{1, 4, 7, 10, 13, 16}));
  EXPECT_EQ(only({1, 18}, "std=1,layout=nhwc")[1], 1);
  EXPECT_EQ(only({1, 18}, "std=1")[1], 3);
  EXPECT_EQ(only({1, 3, 2, 3}, "std=1", DType::kUInt8)[17], 17);
  EXPECT_EQ(only({1, 3, 2, 3}, "mean=128", DType::kInt8)[17], 17 - 128);
  EXPECT_EQ(only({1, 3, 2, 3}, "unit", DType::kFloat64)[17], 17 / 255.0);
  EXPECT_EQ(only({1, Dim(), Dim(), Dim()}, "crop=1x2").size(), 6u);
  EXPECT_EQ(only({Dim::named("N"), 3, Dim(), Dim()}, "crop=2x1"), (std::vector<double>{3, 12, 4, 13, 5, 14}));
}

TEST_F(SourceTest, ImagesThatDoNotFitSayWhatHelps) {
  write_picture("d/a.png", 0);
  const std::string wrong = fault("d", {input({1, 3, 32, 32})}, "unit");
  for (const char* word : {"'x'", "[3, 32, 32]", "2 x 3", "a.png", "crop=32"}) {
    EXPECT_NE(wrong.find(word), std::string::npos) << wrong;
  }
  EXPECT_NE(fault("d", {input({1, 3, 32, 32})}).find("add --preprocess imagenet"), std::string::npos);
  EXPECT_NE(fault("d", {input({1, 3, 2, 3})}, "crop=9").find("resize=9"), std::string::npos);
  EXPECT_NE(fault("d", {input({1, 4, 2, 2})}, "unit").find("4 channels"), std::string::npos);
  EXPECT_NE(fault("d", {input({1, 3, 2, 3}, DType::kUInt8)}, "unit").find("uint8"), std::string::npos);
  EXPECT_NE(fault("d", {input({1, 3, 2, 3}, DType::kInt8)}, "std=1").find("int8"), std::string::npos);
  EXPECT_NE(fault("d", {input({1, 1, 2, 3})}, "mean=1/2/3").find("mean"), std::string::npos);
  write("d/b.jpg", "\xff\xd8\xff broken");
  EXPECT_NE(fault("d", {input({1, 3, 2, 3})}, "unit").find("b.jpg"), std::string::npos);
}

TEST_F(SourceTest, ClassFolders) {
  write_picture("d/dog/1.png", 0);
  write_picture("d/cat/2.png", 40);
  write_picture("d/cat/1.png", 20);
  const InputSpec spec = input({1, 3, 2, 3});
  const auto source = open("d", {spec}, "std=1");
  ASSERT_EQ(source->size(), 3u);
  EXPECT_EQ(source->sample_name(1), "cat/2.png");
  EXPECT_EQ(values(*source, spec, 2)[0], 0);
}

TEST_F(SourceTest, NothingThere) {
  std::filesystem::create_directories(path("empty/inner"));
  EXPECT_NE(fault("empty", {input({1, 3})}).find("no data in the folder"), std::string::npos);
  EXPECT_NE(fault("missing", {input({1, 3})}).find("no such file"), std::string::npos);
  write("text.dat", "hello hello hello");
  EXPECT_NE(fault("text.dat", {input({1, 3})}).find("not a data file"), std::string::npos);
  EXPECT_NE(fault("text.dat", {}).find("no inputs"), std::string::npos);
  write_npy(path("none.npy"), Tensor::allocate(DType::kFloat32, {0, 3}).view());
  EXPECT_NE(fault("none.npy", {input({1, 3})}).find("no sample"), std::string::npos);
}

TEST_F(SourceTest, ArraysOneAfterTheOther) {
  write_npy(path("d/a.npy"), Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}).view());
  write_npy(path("d/b.npy"), Tensor::of<uint8_t>({3}, {7, 8, 9}).view());  // one sample without its batch axis
  const InputSpec spec = input({Dim::named("N"), 3});
  const auto source = open("d", {spec});
  ASSERT_EQ(source->size(), 3u);
  EXPECT_EQ(values(*source, spec, 1), (std::vector<double>{4, 5, 6}));
  EXPECT_EQ(values(*source, spec, 2), (std::vector<double>{7, 8, 9}));
  EXPECT_EQ(source->sample_name(2), "2");
}

TEST_F(SourceTest, ArraysThatFitInAnotherForm) {
  Tensor images = Tensor::allocate(DType::kUInt8, {2, 4, 5});
  for (size_t i = 0; i < 40; ++i) images.mutable_data()[i] = static_cast<std::byte>(i);
  write_npy(path("a.npy"), images.view());
  for (const std::vector<Dim>& dims : {std::vector<Dim>{1, 20}, {1, 1, 4, 5}, {1, 1, 20, 1}, {1, 4, 5, 1}}) {
    const InputSpec spec = input(dims);
    const auto source = open("a.npy", {spec});
    ASSERT_EQ(source->size(), 2u);
    EXPECT_EQ(values(*source, spec, 1)[3], 23);
  }
  const std::string wrong = fault("a.npy", {input({1, 5, 4})});
  for (const char* word : {"'x'", "[5, 4]", "[4, 5]", "a.npy"}) EXPECT_NE(wrong.find(word), std::string::npos) << wrong;
  EXPECT_NE(fault("a.npy", {input({1, 21})}).find("[21]"), std::string::npos);
}

TEST_F(SourceTest, ElementTypes) {
  write_npy(path("f.npy"), Tensor::of<float>({1, 2}, {1, 2}).view());
  EXPECT_NE(fault("f.npy", {input({1, 2}, DType::kInt32)}).find("astype('int32')"), std::string::npos);
  write_npy(path("i.npy"), Tensor::of<int64_t>({2, 1}, {5, 300}).view());
  const InputSpec spec = input({1, 1}, DType::kUInt8);
  const auto source = open("i.npy", {spec});
  EXPECT_EQ(values(*source, spec, 0), std::vector<double>{5});
  EXPECT_THROW(values(*source, spec, 1), Error);
}

TEST_F(SourceTest, PreprocessingOfArrays) {
  Tensor pixels = Tensor::allocate(DType::kUInt8, {2, 2, 3, 3});
  for (size_t i = 0; i < 36; ++i) pixels.mutable_data()[i] = static_cast<std::byte>(i);
  write_npy(path("last.npy"), pixels.view());
  const InputSpec spec = input({1, 3, 2, 3});
  EXPECT_EQ(values(*open("last.npy", {spec}, "mean=1"), spec, 1),
            (std::vector<double>{17, 20, 23, 26, 29, 32, 18, 21, 24, 27, 30, 33, 19, 22, 25, 28, 31, 34}));
  write_npy(path("first.npy"), Tensor::of<float>({1, 3, 1, 2}, {1, 2, 3, 4, 5, 6}).view());
  const InputSpec last = input({1, Dim(), 2, 3});
  EXPECT_EQ(values(*open("first.npy", {last}, "color=bgr,std=2"), last, 0),
            (std::vector<double>{2.5, 1.5, 0.5, 3, 2, 1}));
  EXPECT_NE(fault("first.npy", {input({1, 3, 2, 4})}, "resize=2x4").find("uint8"), std::string::npos);
  write_npy(path("odd.npy"), Tensor::of<float>({1, 4}, {1, 2, 3, 4}).view());
  EXPECT_NE(fault("odd.npy", {input({1, 4})}, "unit").find("not images"), std::string::npos);
}

TEST_F(SourceTest, SeveralInputs) {
  const std::vector<InputSpec> inputs = {input({1, 2}, DType::kFloat32, "a/b"), input({1}, DType::kInt64, "c")};
  const Tensor first = Tensor::of<float>({2, 2}, {1, 2, 3, 4}), second = Tensor::of<int64_t>({2}, {8, 9});
  write_npy(path("files/a_b.npy"), first.view());
  write_npy(path("files/c.npy"), second.view());
  write_npy(path("folders/a_b/0.npy"), first.view());
  write_npy(path("folders/c/0.npy"), second.view());
  for (const char* place : {"files", "folders"}) {
    const auto source = open(place, inputs);
    ASSERT_EQ(source->size(), 2u);
    const auto sample = read(*source, inputs, 1);
    EXPECT_EQ(sample[0].to_doubles(), (std::vector<double>{3, 4})) << place;
    EXPECT_EQ(sample[1].to_doubles(), std::vector<double>{9}) << place;
  }
  std::filesystem::remove(path("files/c.npy"));
  EXPECT_NE(fault("files", inputs).find("no data for input 'c'"), std::string::npos);
  write_npy(path("files/c.npy"), Tensor::of<int64_t>({3}, {7, 8, 9}).view());
  EXPECT_NE(fault("files", inputs).find("input 'c' has 3"), std::string::npos);
}

TEST_F(SourceTest, RawFiles) {
  write("d/1.bin", std::string("\1\0\2\0\3\0\4\0", 8));
  write("d/2.bin", std::string("\5\0\6\0\7\0\10\0", 8));
  DataOptions options;
  const std::vector<InputSpec> inputs = {input({1, 2})};
  EXPECT_THROW(open_data(path("d"), inputs, options), Error);
  options.bin_types = {DType::kInt16};
  for (const Dims& shape : {Dims{2, 2}, Dims{-1, 2}}) {
    options.bin_shapes = {shape};
    const auto source = open_data(path("d"), inputs, options);
    ASSERT_EQ(source->size(), 4u);
    EXPECT_EQ(read(*source, inputs, 3)[0].to_doubles(), (std::vector<double>{7, 8}));
  }
  for (const Dims& shape : {Dims{1, 2}, Dims{3, 2}, Dims{-1, 3}, Dims{-1, -1}, Dims{-2, 2}}) {
    options.bin_shapes = {shape};
    EXPECT_THROW(open_data(path("d"), inputs, options), Error) << to_string(shape);
  }
}

TEST_F(SourceTest, IdxFiles) {
  const std::string header = std::string("\0\0\x08\x03", 4) + big(2) + big(2) + big(2);
  write("images-idx3-ubyte", header + std::string("\1\2\3\4\5\6\7\10", 8));
  write("labels-idx1-ubyte", std::string("\0\0\x08\x01", 4) + big(2) + std::string("\3\1", 2));
  write("shorts", std::string("\0\0\x0b\x01", 4) + big(1) + std::string("\1\2", 2));
  const InputSpec spec = input({1, 1, 2, 2});
  const auto source = open("images-idx3-ubyte", {spec});
  ASSERT_EQ(source->size(), 2u);
  EXPECT_EQ(values(*source, spec, 1), (std::vector<double>{5, 6, 7, 8}));
  EXPECT_EQ(read_labels(path("labels-idx1-ubyte"), *source), (std::vector<int64_t>{3, 1}));
  const InputSpec number = input({1});
  EXPECT_EQ(values(*open("shorts", {number}), number, 0), std::vector<double>{258});
  write("cut-idx3-ubyte", header + "\1\2\3");
  EXPECT_NE(fault("cut-idx3-ubyte", {spec}).find("cut-idx3-ubyte"), std::string::npos);
  write("huge-idx3-ubyte", std::string("\0\0\x08\x03", 4) + big(0xffffffff) + big(0xffffffff) + big(0xffffffff));
  EXPECT_NE(fault("huge-idx3-ubyte", {spec}).find("huge-idx3-ubyte"), std::string::npos);
}

TEST_F(SourceTest, TensorProtos) {
  // dims 2, 2 (packed); float32; name "x"; raw data
  const std::string raw = std::string("\x0a\2\2\2\x10\1\x42\1x\x4a\x10", 11) +
                          std::string("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16);
  write("d/0.pb", raw);
  // dims 2 and 1 one by one; int8; int32_data 5 and -1 (varints, packed)
  write("d/1.pb", std::string("\x08\1\x08\2\x10\3\x2a\x0b\5\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 19));
  const InputSpec spec = input({1, 2});
  const auto source = open("d", {spec});
  ASSERT_EQ(source->size(), 3u);
  EXPECT_EQ(values(*source, spec, 1), (std::vector<double>{3, 4}));
  EXPECT_EQ(values(*source, spec, 2), (std::vector<double>{5, -1}));
  for (size_t length = 0; length < raw.size(); ++length) {
    write("cut.pb", raw.substr(0, length));
    EXPECT_NE(fault("cut.pb", {spec}), "no fault") << length;
  }
  for (size_t at = 0; at < raw.size(); ++at) {
    std::string mutant = raw;
    mutant[at] = static_cast<char>(mutant[at] ^ 0x9f);
    write("mutant.pb", mutant);
    (void)fault("mutant.pb", {spec});  // any answer but a crash
  }
  write("strings.pb", std::string("\x08\1\x10\x08\x32\1a", 7));
  EXPECT_NE(fault("strings.pb", {spec}).find("strings"), std::string::npos);
}

TEST_F(SourceTest, LabelFaultsAreNamedByLine) {
  write_picture("d/a.png", 0);
  write_picture("d/b c.png", 0);
  const auto source = open("d", {input({1, 3, 2, 3})}, "unit");
  const auto labels = [&](const std::string& text) -> std::string {
    write("labels.txt", text);
    try {
      std::string all;
      for (const int64_t label : read_labels(path("labels.txt"), *source)) all += std::to_string(label) + " ";
      return all;
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_EQ(labels("b c.png\t7\r\n\n  a.png 0"), "0 7 ");
  EXPECT_NE(labels("a.png 1\n").find("no label for b c.png"), std::string::npos);
  EXPECT_EQ(labels("a.png 1\nb c.png 2\nd.png 3\n"), "1 2 ");
  EXPECT_NE(labels("a.png 1\nd.png 3\n").find("no label for b c.png"), std::string::npos);
  EXPECT_NE(labels("a.png 1\nb c.png 2\na.png 1\n").find("has a label already"), std::string::npos);
  for (const char* text : {"a.png\nb c.png 2\n", "a.png x\nb c.png 2", "a.png -1\nb c.png 2", "a.png 1.5\nb c.png 2"}) {
    EXPECT_NE(labels(text).find("labels.txt:1"), std::string::npos) << labels(text);
  }
  write_npy(path("l.npy"), Tensor::of<int32_t>({2}, {4, 2}).view());
  EXPECT_EQ(read_labels(path("l.npy"), *source), (std::vector<int64_t>{4, 2}));
  write_npy(path("l.npy"), Tensor::of<int32_t>({3}, {4, 2, 1}).view());
  EXPECT_THROW(read_labels(path("l.npy"), *source), Error);
  write_npy(path("l.npy"), Tensor::of<float>({2}, {4, 2}).view());
  EXPECT_THROW(read_labels(path("l.npy"), *source), Error);
}

}  // namespace
}  // namespace amct
