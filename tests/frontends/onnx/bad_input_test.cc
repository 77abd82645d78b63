#include <fstream>
#include <limits>

#include "frontends/onnx/load_onnx.h"
#include "frontends/onnx/model_builder.h"
#include "frontends/onnx/wire_scan.h"

namespace amct::testing {
namespace {

// The message that loading a file of these bytes gives.
std::string error_of(const std::string& bytes) {
  const ScratchFolder folder;
  write_bytes(folder / "model.onnx", bytes);
  try {
    load_onnx(folder / "model.onnx");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInput) << error.what();
    EXPECT_EQ(error.where().model, (folder / "model.onnx").string());
    return error.message();
  }
  return "no error";
}

TEST(BadInput, FilesThatAreNoModels) {
  EXPECT_EQ(error_of(""), "the file is empty");
  EXPECT_EQ(error_of("PK\x03\x04 and more"),
            "this is not an ONNX model: it looks like a PyTorch archive or another zip file");
  EXPECT_EQ(error_of(std::string("\x1c\0\0\0TFL3 more", 13)),
            "this is not an ONNX model: it looks like a TensorFlow Lite model");
  EXPECT_EQ(error_of("\x89HDF\r\n"), "this is not an ONNX model: it looks like an HDF5 file (Keras)");
  EXPECT_EQ(error_of("{\"json\": true}"), "this is not an ONNX model: it looks like a text file");
  EXPECT_EQ(error_of(std::string("\x0a\x04\x0a\x02\x68\x69", 6)),
            "this is not an ONNX model: it looks like a TensorFlow graph or a Caffe model");
  EXPECT_EQ(error_of(std::string("\x08\x07", 2)), "this is not an ONNX model");
  EXPECT_EQ(error_of(std::string(100, '\xff')), "the file is damaged at byte 0: a number without an end");
}

TEST(BadInput, MissingFileAndFolder) {
  const ScratchFolder folder;
  EXPECT_THROW(load_onnx(folder / "missing.onnx"), Error);
  std::filesystem::create_directories(folder / "model.onnx");
  EXPECT_THROW(load_onnx(folder / "model.onnx"), Error);
}

TEST(BadInput, TruncatedFileSaysWhere) {
  const std::string bytes = relu_model().bytes();
  const std::string message = error_of(bytes.substr(0, bytes.size() - 1));
  EXPECT_TRUE(message.starts_with("the file breaks off: a field at byte ")) << message;
}

TEST(BadInput, Cycle) {
  ModelBuilder builder;
  builder.input("x", {2});
  builder.node("Add", "a", {"x", "q"}, {"p"});
  builder.node("Relu", "b", {"p"}, {"q"});
  builder.output("q");
  EXPECT_EQ(builder.error(), "the node is on a cycle, or behind one");
}

TEST(BadInput, NodeThatReadsItself) {
  ModelBuilder builder;
  builder.node("Relu", "a", {"p"}, {"p"});
  builder.output("p");
  EXPECT_EQ(builder.error(), "the node is on a cycle, or behind one");
}

TEST(BadInput, ValueProducedTwice) {
  ModelBuilder builder = relu_model();
  builder.node("Relu", "again", {"x"}, {"y"});
  EXPECT_EQ(builder.error(), "value 'y' is produced twice");
}

TEST(BadInput, InputProducedByNode) {
  ModelBuilder builder = relu_model();
  builder.node("Relu", "again", {"y"}, {"x"});
  EXPECT_EQ(builder.error(), "value 'x' is produced twice");
}

TEST(BadInput, UndefinedInput) {
  ModelBuilder builder = relu_model();
  builder.node("Add", "add", {"y", "nothing"}, {"z"});
  EXPECT_EQ(builder.error(), "input 'nothing' is produced by nothing");
}

TEST(BadInput, OutputsThatAreNotThere) {
  ModelBuilder builder = relu_model();
  builder.output("z");
  EXPECT_EQ(builder.error(), "output 'z' is produced by nothing");
  builder.graph().clear_output();
  EXPECT_EQ(builder.error(), "the model has no outputs");
  builder.output("y");
  builder.output("y");
  EXPECT_EQ(builder.error(), "output 'y' is listed twice");
}

TEST(BadInput, InputsGivenTwice) {
  ModelBuilder builder = relu_model();
  builder.input("x", {2, 3});
  EXPECT_EQ(builder.error(), "value 'x' is given twice");
}

TEST(BadInput, WrongNumberOfInputs) {
  ModelBuilder builder;
  builder.input("x", {2});
  builder.node("Add", "add", {"x"}, {"y"});
  builder.output("y");
  EXPECT_NE(builder.error().find("is missing"), std::string::npos);
  ModelBuilder more = relu_model();
  more.node("Relu", "r2", {"x", "x"}, {"z"});
  EXPECT_NE(more.error().find("takes at most 1"), std::string::npos);
}

TEST(BadInput, ShapesThatDoNotFit) {
  ModelBuilder builder = relu_model();
  builder.input("w", {4});
  builder.node("Add", "add", {"y", "w"}, {"z"});
  EXPECT_NE(builder.error().find("do not broadcast"), std::string::npos);
}

TEST(BadInput, SizesOfTensors) {
  const auto message = [](const std::vector<int64_t>& dims, size_t bytes, int type = kOnnxFloat) {
    ModelBuilder builder = relu_model();
    builder.constant("w", dims, type).set_raw_data(std::string(bytes, 'a'));
    return builder.error();
  };
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(message({2, 3}, 20), "tensor 'w': float32 of extents [2, 3] needs 24 bytes, the file holds 20");
  EXPECT_EQ(message({100}, 404), "tensor 'w': float32 of extents [100] needs 400 bytes, the file holds 404");
  EXPECT_EQ(message({-1}, 4), "tensor 'w': extents [-1] are negative or beyond any memory");
  EXPECT_EQ(message({kHuge, 2}, 4), "tensor 'w': extents [9223372036854775807, 2] are negative or beyond any memory");
  EXPECT_EQ(message({1 << 29, 1 << 29}, 4),
            "tensor 'w': float32 of extents [536870912, 536870912] needs 1152921504606846976 bytes, the file holds 4");
  EXPECT_EQ(message({kHuge / 2}, 4), "tensor 'w': extents [4611686018427387903] are negative or beyond any memory");
  EXPECT_EQ(message({2}, 8, 99), "tensor 'w': element type 99 is not defined");
  EXPECT_EQ(message({2}, 8, 0), "tensor 'w': element type 0 is not defined");
  EXPECT_EQ(message({3}, 1, 22), "tensor 'w': int4 of extents [3] needs 2 bytes, the file holds 1");
}

TEST(BadInput, ListsOfTheWrongLength) {
  ModelBuilder builder = relu_model();
  builder.constant("w", {2}).add_float_data(1);
  EXPECT_EQ(builder.error(), "tensor 'w': float32 of extents [2] needs 2 numbers, the file holds 1");
}

TEST(BadInput, SparseTensors) {
  const auto message = [](int64_t extent, int64_t index) {
    ModelBuilder builder = relu_model();
    auto& sparse = *builder.graph().add_sparse_initializer();
    sparse.add_dims(extent);
    sparse.mutable_values()->set_name("s");
    sparse.mutable_values()->set_data_type(kOnnxFloat);
    sparse.mutable_values()->add_dims(1);
    sparse.mutable_values()->add_float_data(1);
    sparse.mutable_indices()->set_data_type(kOnnxInt64);
    sparse.mutable_indices()->add_dims(1);
    sparse.mutable_indices()->add_int64_data(index);
    return builder.error();
  };
  EXPECT_EQ(message(4, 4), "sparse tensor 's': an index is out of range");
  EXPECT_EQ(message(4, -1), "sparse tensor 's': an index is out of range");
  EXPECT_EQ(message(1 << 12, 7), "no error");
  EXPECT_EQ(message(1 << 24, 0), "sparse tensor 's': too large to be kept dense");
  EXPECT_EQ(message(int64_t{1} << 50, 0), "sparse tensor 's': too large to be kept dense");
}

TEST(BadInput, MoreNodesThanMemoryHolds) {
  constexpr size_t kBytes = 2 * (onnx_file::kMaxGraphParts + 1);  // empty nodes
  std::string model = "\x3a";
  for (size_t rest = kBytes; rest > 0; rest >>= 7)
    model += static_cast<char>((rest & 0x7f) | (rest >> 7 > 0 ? 0x80 : 0));
  const size_t start = model.size();
  model.resize(start + kBytes, '\0');
  for (size_t at = start; at < model.size(); at += 2) model[at] = '\x0a';
  try {
    (void)onnx_file::scan_model(std::as_bytes(std::span(model)));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(std::string(error.what()), "the graph has more than 8000000 parts");
  }
}

TEST(BadInput, DimensionsOfInputs) {
  ModelBuilder negative;
  negative.input("x", {2, -3});
  EXPECT_EQ(negative.error(), "value 'x' has the negative dimension -3");
  ModelBuilder huge;
  huge.input("x", {int64_t{1} << 40, int64_t{1} << 40});
  EXPECT_EQ(huge.error(), "value 'x' has extents [1099511627776, 1099511627776] beyond any memory");
  ModelBuilder type;
  type.input("x", {2}, 77);
  EXPECT_EQ(type.error(), "value 'x' has the undefined element type 77");
}

TEST(BadInput, Opsets) {
  ModelBuilder newer = relu_model();
  newer.model.mutable_opset_import(0)->set_version(99);
  EXPECT_EQ(newer.error(ErrorCode::kUnsupported), "opset 99 is newer than 25, the newest that is read");
  ModelBuilder none = relu_model();
  none.model.clear_opset_import();
  EXPECT_EQ(none.error(), "the model does not say its opset");
  ModelBuilder older(3);
  older.input("x", {2});
  older.node("Frob", "f", {"x"}, {"y"});
  older.output("y");
  EXPECT_EQ(older.error(ErrorCode::kUnsupported),
            "opset 3 is older than 6, the oldest that is read, and operator Frob differs there");
}

struct External {
  std::string location, offset, length;
};

std::string external_error(const std::filesystem::path& model, const External& external) {
  ModelBuilder builder = relu_model();
  auto& tensor = builder.constant("w", {3});
  tensor.set_data_location(1);
  const auto add = [&](const char* key, const std::string& value) {
    if (value.empty()) return;
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("location", external.location);
  add("offset", external.offset);
  add("length", external.length);
  write_bytes(model, builder.bytes());
  try {
    load_onnx(model);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInput) << error.what();
    return error.message();
  }
  return "no error";
}

TEST(BadInput, ExternalData) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "models");
  write_bytes(folder / "models/w.bin", std::string(12, 'a'));
  write_bytes(folder / "outside.bin", std::string(12, 'a'));
  std::filesystem::create_symlink(folder / "outside.bin", folder / "models/link.bin");
  std::filesystem::create_directory_symlink(folder / "models/..", folder / "models/up");
  const auto model = folder / "models/model.onnx";
  const std::string outside = (folder / "outside.bin").string();
  EXPECT_EQ(external_error(model, {"w.bin", "", ""}), "no error");
  EXPECT_EQ(external_error(model, {"gone.bin", "", ""}), "tensor 'w': external data file 'gone.bin' is missing");
  EXPECT_EQ(external_error(model, {"", "", ""}), "tensor 'w': external data '' is outside the folder of the model");
  EXPECT_EQ(external_error(model, {"../outside.bin", "", ""}),
            "tensor 'w': external data '../outside.bin' is outside the folder of the model");
  EXPECT_EQ(external_error(model, {outside, "", ""}),
            "tensor 'w': external data '" + outside + "' is outside the folder of the model");
  EXPECT_EQ(external_error(model, {"link.bin", "", ""}),
            "tensor 'w': external data 'link.bin' leads out of the folder of the model");
  EXPECT_EQ(external_error(model, {"up/outside.bin", "", ""}),
            "tensor 'w': external data 'up/outside.bin' leads out of the folder of the model");
  EXPECT_EQ(external_error(model, {"w.bin", "1", "12"}),
            "tensor 'w': external data at offset 1 of length 12 is beyond 'w.bin', which has 12 bytes");
  EXPECT_EQ(
      external_error(model, {"w.bin", "18446744073709551615", "2"}),
      "tensor 'w': external data at offset 18446744073709551615 of length 2 is beyond 'w.bin', which has 12 bytes");
  EXPECT_EQ(external_error(model, {"w.bin", "-1", "2"}), "tensor 'w': external data offset '-1' is not a number");
  EXPECT_EQ(external_error(model, {"w.bin", "0", "8"}),
            "tensor 'w': float32 of extents [3] needs 12 bytes, the file holds 8");
}

TEST(BadInput, DeeplyNestedSubgraphs) {
  ModelBuilder builder = relu_model();
  wire::NodeProto* node = &builder.node("If", "if", {"x"}, {"z"});
  for (int depth = 0; depth < 200; ++depth) {
    auto& attr = *node->add_attribute();
    attr.set_name("body");
    node = attr.mutable_g()->add_node();
    node->set_op_type("If");
  }
  EXPECT_NE(builder.error(), "no error");
}

}  // namespace
}  // namespace amct::testing
