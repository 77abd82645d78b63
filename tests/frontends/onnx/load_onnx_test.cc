#include "frontends/onnx/load_onnx.h"

#include <algorithm>
#include <cstring>

#include "frontends/onnx/model_builder.h"
#include "ir/verify.h"
#include "ops/opaque.h"
#include "ops/verify_ops.h"
#include "support/errors.h"

namespace amct::testing {
namespace {

std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const NodeId id : graph.nodes()) names.push_back(graph.node(id).name);
  return names;
}

const Tensor& constant_of(const Graph& graph, std::string_view name) {
  const Tensor* tensor = graph.constant(graph.find_value(name));
  EXPECT_NE(tensor, nullptr) << name;
  static const Tensor kNone;
  return tensor != nullptr ? *tensor : kNone;
}

TEST(LoadOnnx, ReadsASmallModel) {
  const Graph graph = relu_model().load();
  EXPECT_EQ(graph.info.opsets.at(""), 13);
  EXPECT_EQ(graph.info.graph_name, "test");
  ASSERT_EQ(graph.node_count(), 1u);
  EXPECT_EQ(graph.node(graph.find_node("relu")).op, "relu");
  EXPECT_EQ(graph.value(graph.find_value("y")).type, (TensorType{DType::kFloat32, Shape::of({2, 3})}));
  EXPECT_TRUE(verify(graph).empty());
  EXPECT_TRUE(verify_ops(graph).empty());
}

TEST(LoadOnnx, NamesNodesWithoutNameAndRepeatedNames) {
  ModelBuilder builder;
  builder.input("x", {2});
  builder.node("Relu", "", {"x"}, {"a"});
  builder.node("Relu", "same", {"a"}, {"b"});
  builder.node("Relu", "same", {"b"}, {"c"});
  builder.node("Relu", "a", {"c"}, {"d"});
  builder.output("d");
  const Graph graph = builder.load();
  EXPECT_EQ(node_names(graph), (std::vector<std::string>{"a_1", "same", "same_1", "a"}));
  EXPECT_EQ(graph.node(graph.find_node("a_1")).origin.name, "");
  for (const char* value : {"x", "a", "b", "c", "d"}) EXPECT_TRUE(graph.find_value(value).valid()) << value;
}

TEST(LoadOnnx, AcceptsNodesOutOfOrder) {
  ModelBuilder builder;
  builder.input("x", {2});
  builder.node("Relu", "second", {"a"}, {"b"});
  builder.node("Relu", "first", {"x"}, {"a"});
  builder.output("b");
  const Graph graph = builder.load();
  EXPECT_EQ(graph.producer(graph.find_value("b"))->name, "second");
}

TEST(LoadOnnx, ReadsEveryFormOfAConstant) {
  ModelBuilder builder = relu_model();
  const auto constant = [&](const std::string& form) -> wire::AttributeProto& {
    auto& attr = *builder.node("Constant", "", {}, {form}).add_attribute();
    attr.set_name(form);
    builder.output(form);
    return attr;
  };
  constant("value_float").set_f(0.5f);
  constant("value_int").set_i(-7);
  auto& floats = constant("value_floats");
  floats.add_floats(1);
  floats.add_floats(2);
  constant("value_ints").add_ints(9);
  constant("value_string").set_s("text");
  constant("value_else").set_i(1);
  auto& tensor = *constant("value").mutable_t();
  tensor.set_data_type(kOnnxInt64);
  tensor.add_dims(2);
  tensor.add_int64_data(3);
  tensor.add_int64_data(4);
  auto& sparse = *constant("sparse_value").mutable_sparse_tensor();
  sparse.add_dims(2);
  sparse.add_dims(3);
  sparse.mutable_values()->set_data_type(kOnnxFloat);
  sparse.mutable_values()->add_dims(1);
  sparse.mutable_values()->add_float_data(5);
  sparse.mutable_indices()->set_data_type(kOnnxInt64);
  sparse.mutable_indices()->add_dims(1);
  sparse.mutable_indices()->add_int64_data(4);
  const Graph graph = builder.load();
  EXPECT_EQ(constant_of(graph, "value_float").to_doubles(), std::vector<double>{0.5});
  EXPECT_EQ(constant_of(graph, "value_float").rank(), 0u);
  EXPECT_EQ(constant_of(graph, "value_int").to_int64s(), std::vector<int64_t>{-7});
  EXPECT_EQ(constant_of(graph, "value_floats").to_doubles(), (std::vector<double>{1, 2}));
  EXPECT_EQ(constant_of(graph, "value_ints").dims(), Dims{1});
  EXPECT_EQ(constant_of(graph, "value").to_int64s(), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(constant_of(graph, "sparse_value").to_doubles(), (std::vector<double>{0, 0, 0, 0, 5, 0}));
  const auto reason = [&](std::string_view name) {
    return graph.producer(graph.find_value(name))->attrs.require<std::string>(kOpaqueReason);
  };
  EXPECT_EQ(reason("value_string"), "strings are not computed with");
  EXPECT_EQ(reason("value_else"), "attribute 'value_else' is not known");
}

TEST(LoadOnnx, AConstantThatIsAnInputTooIsAConstant) {
  ModelBuilder builder = relu_model();
  builder.input("w", {3});
  auto& tensor = builder.constant("w", {3});
  for (const float value : {3.0f, 4.0f, 5.0f}) tensor.add_float_data(value);
  builder.node("Add", "add", {"y", "w"}, {"z"});
  builder.output("z");
  const Graph graph = builder.load();
  ASSERT_EQ(graph.inputs().size(), 1u);
  EXPECT_EQ(constant_of(graph, "w").to_doubles(), (std::vector<double>{3, 4, 5}));
}

// Type code of the format, the type, raw bytes of two elements, and their values.
struct Encoding {
  int code;
  DType dtype;
  std::string raw;
  std::vector<double> values;
};

TEST(LoadOnnx, ReadsEveryElementTypeFromRawBytes) {
  const std::vector<Encoding> encodings = {
      {1, DType::kFloat32, std::string("\0\0\x80\x3f\0\0\0\xc0", 8), {1, -2}},
      {2, DType::kUInt8, "\x01\xff", {1, 255}},
      {3, DType::kInt8, "\x01\xff", {1, -1}},
      {4, DType::kUInt16, std::string("\x01\0\xff\xff", 4), {1, 65535}},
      {5, DType::kInt16, std::string("\x01\0\xff\xff", 4), {1, -1}},
      {6, DType::kInt32, std::string("\x01\0\0\0\xff\xff\xff\xff", 8), {1, -1}},
      {9, DType::kBool, std::string("\x07\0", 2), {1, 0}},
      {10, DType::kFloat16, std::string("\0\x3c\0\xc0", 4), {1, -2}},
      {16, DType::kBFloat16, std::string("\x80\x3f\0\xc0", 4), {1, -2}},
      {21, DType::kUInt4, "\xf1", {1, 15}},
      {22, DType::kInt4, "\xf1", {1, -1}},
  };
  for (const Encoding& encoding : encodings) {
    ModelBuilder builder = relu_model();
    builder.constant("c", {2}, encoding.code).set_raw_data(encoding.raw);
    builder.output("c");
    const Graph graph = builder.load();
    EXPECT_EQ(constant_of(graph, "c").dtype(), encoding.dtype);
    EXPECT_EQ(constant_of(graph, "c").to_doubles(), encoding.values) << name_of(encoding.dtype);
  }
}

TEST(LoadOnnx, ReadsTypedLists) {
  ModelBuilder builder = relu_model();
  const auto add = [&](const std::string& name, int code) -> wire::TensorProto& {
    builder.output(name);
    return builder.constant(name, {3}, code);
  };
  auto& half = add("half", 10);
  for (const int bits : {0x3c00, 0xc000, 0}) half.add_int32_data(bits);
  auto& nibbles = add("int4", 22);
  for (const int bits : {0xf1, 0x07}) nibbles.add_int32_data(bits);
  auto& doubles = add("double", 11);
  for (const double value : {1.5, -2.5, 0.0}) doubles.add_double_data(value);
  auto& unsigned32 = add("uint32", 12);
  for (const uint64_t value : {1u, 4294967295u, 0u}) unsigned32.add_uint64_data(value);
  auto& bools = add("bool", 9);
  for (const int value : {1, 0, 5}) bools.add_int32_data(value);
  const Graph graph = builder.load();
  EXPECT_EQ(constant_of(graph, "half").to_doubles(), (std::vector<double>{1, -2, 0}));
  EXPECT_EQ(constant_of(graph, "int4").to_doubles(), (std::vector<double>{1, -1, 7}));
  EXPECT_EQ(constant_of(graph, "double").to_doubles(), (std::vector<double>{1.5, -2.5, 0}));
  EXPECT_EQ(constant_of(graph, "uint32").to_doubles(), (std::vector<double>{1, 4294967295.0, 0}));
  EXPECT_EQ(constant_of(graph, "bool").to_doubles(), (std::vector<double>{1, 0, 1}));
}

TEST(LoadOnnx, LargeWeightsSurviveAnyAlignment) {
  for (size_t shift = 0; shift < 8; ++shift) {
    ModelBuilder builder = relu_model();
    builder.model.set_producer_name(std::string(shift, 'p'));
    std::vector<float> values(1000);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) + 0.25f;
    builder.constant("w", {10, 100}).set_raw_data(std::string(reinterpret_cast<const char*>(values.data()), 4000));
    builder.output("w");
    const Graph graph = builder.load();
    const auto found = constant_of(graph, "w").values<float>();
    EXPECT_TRUE(std::equal(found.begin(), found.end(), values.begin(), values.end())) << shift;
  }
}

TEST(LoadOnnx, UnknownOperatorsStayWithTheirBytesAndReason) {
  ModelBuilder builder = relu_model();
  auto& node = builder.node("Frobnicate", "f", {"y", "", "x"}, {"z", "", "w"});
  node.set_domain("com.example");
  builder.output("z");
  const std::string bytes = node.SerializeAsString();
  const Graph graph = builder.load();
  const Node& opaque = graph.node(graph.find_node("f"));
  EXPECT_TRUE(opaque.is_opaque());
  EXPECT_EQ(opaque.op, "com.example::Frobnicate");
  EXPECT_EQ(opaque.attrs.require<std::string>(kOpaqueBytes), bytes);
  EXPECT_EQ(opaque.attrs.require<std::string>(kOpaqueReason), "operator Frobnicate of domain com.example is not known");
  ASSERT_EQ(opaque.inputs.size(), 3u);
  EXPECT_FALSE(opaque.inputs[1].valid());
  ASSERT_EQ(opaque.outputs.size(), 3u);
  EXPECT_FALSE(opaque.outputs[1].valid());
  EXPECT_TRUE(verify(graph).empty());
}

// What is written lies elsewhere, where no such files are.
TEST(LoadOnnx, UnknownOperatorsTakeInWhatLiesInOtherFiles) {
  const ScratchFolder folder;
  write_bytes(folder / "w.bin", std::string("....") + std::string(8, '\x3f'));
  const auto refer = [](wire::TensorProto& tensor) {
    tensor.set_data_type(kOnnxFloat);
    tensor.add_dims(2);
    tensor.set_data_location(1);
    for (const auto& [key, value] :
         {std::pair("location", "w.bin"), std::pair("offset", "4"), std::pair("length", "8")}) {
      auto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
  };
  ModelBuilder builder = relu_model();
  auto& node = builder.node("Frobnicate", "f", {"y"}, {"z"});
  node.set_domain("com.example");
  for (const char* name : {"tensor", "list", "sparse", "graph"}) node.add_attribute()->set_name(name);
  refer(*node.mutable_attribute(0)->mutable_t());
  refer(*node.mutable_attribute(1)->add_tensors());
  refer(*node.mutable_attribute(2)->mutable_sparse_tensor()->mutable_values());
  refer(*node.mutable_attribute(3)->mutable_g()->add_initializer());
  builder.output("z");
  write_bytes(folder / "model.onnx", builder.bytes());
  const Graph graph = load_onnx(folder / "model.onnx");
  wire::NodeProto kept;
  ASSERT_TRUE(kept.ParseFromString(graph.node(graph.find_node("f")).attrs.require<std::string>(kOpaqueBytes)));
  for (const wire::TensorProto* tensor :
       {&kept.attribute(0).t(), &kept.attribute(1).tensors(0), &kept.attribute(2).sparse_tensor().values(),
        &kept.attribute(3).g().initializer(0)}) {
    EXPECT_EQ(tensor->raw_data(), std::string(8, '\x3f'));
    EXPECT_EQ(tensor->external_data_size(), 0);
    EXPECT_FALSE(tensor->has_data_location());
  }
  std::filesystem::remove(folder / "w.bin");
  EXPECT_ERROR(load_onnx(folder / "model.onnx"), "'w.bin' is missing, in node 'f'");
}

TEST(LoadOnnx, SubgraphsKeepWhatTheyReadAlive) {
  ModelBuilder builder = relu_model();
  auto& node = builder.node("Branch", "if", {"c"}, {"z"});
  node.set_domain("com.example");
  builder.input("c", {}, 9);
  auto& attr = *node.add_attribute();
  attr.set_name("then_branch");
  attr.set_type(5);
  auto& inner = *attr.mutable_g()->add_node();
  inner.set_op_type("Add");
  inner.add_input("y");
  inner.add_input("x");
  inner.add_output("inner");
  attr.mutable_g()->add_output()->set_name("inner");
  builder.output("z");
  const Graph graph = builder.load();
  const Node& opaque = graph.node(graph.find_node("if"));
  EXPECT_EQ(opaque.attrs.require<std::vector<std::string>>(kOpaqueCaptures), (std::vector<std::string>{"y", "x"}));
  ASSERT_EQ(opaque.inputs.size(), 3u);
  EXPECT_EQ(graph.value(opaque.inputs[1]).name, "y");
}

TEST(LoadOnnx, AHelperGivesWayToANameOfTheFile) {
  ModelBuilder builder(11);
  builder.input("x", {2, 3});
  auto& attr = *builder.node("ReduceSum", "r", {"x"}, {"a"}).add_attribute();
  attr.set_name("axes");
  attr.set_type(7);
  attr.add_ints(1);
  builder.node("Relu", "relu", {"a"}, {"r.axes"});
  builder.output("r.axes");
  const Graph graph = builder.load();
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "r.axes");
  EXPECT_EQ(graph.producer(graph.outputs()[0])->name, "relu");
  EXPECT_TRUE(verify(graph).empty());
}

TEST(LoadOnnx, ReadsExternalData) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "sub");
  const std::vector<float> values = {1, 2, 3};
  write_bytes(folder / "sub/w.bin",
              std::string(4, 'x') + std::string(reinterpret_cast<const char*>(values.data()), 12));
  ModelBuilder builder = relu_model();
  auto& tensor = builder.constant("w", {3});
  tensor.set_data_location(1);
  for (const auto& [key, value] : {std::pair{"location", "sub/w.bin"}, {"offset", "4"}, {"length", "12"}}) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  builder.output("w");
  write_bytes(folder / "model.onnx", builder.bytes());
  EXPECT_EQ(constant_of(load_onnx(folder / "model.onnx"), "w").to_doubles(), (std::vector<double>{1, 2, 3}));
}

// Payloads stay where they lie in the file, at any address, in the main graph and in subgraphs.
TEST(LoadOnnx, WeightsAreNotCopied) {
  std::string floats(4000, '\0');
  for (size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<char>(i * 7 % 61);
  for (size_t shift = 0; shift < 4; ++shift) {
    ModelBuilder builder;
    builder.input("x", {1000});
    builder.model.set_producer_name(std::string(shift + 1, 'p'));  // moves what follows
    builder.constant("w", {1000}).set_raw_data(floats);
    builder.node("Add", "add", {"x", "w"}, {"y"});
    builder.output("y");
    const Graph graph = builder.load();
    const Tensor& w = constant_of(graph, "w");
    const auto address = reinterpret_cast<uintptr_t>(w.bytes().data());
    EXPECT_EQ(w.is_resident(), address % 4 == 0);
    EXPECT_EQ(std::memcmp(w.bytes().data(), floats.data(), floats.size()), 0);
    EXPECT_EQ(std::memcmp(w.values<float>().data(), floats.data(), floats.size()), 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(w.values<float>().data()) % 4, 0u);
  }
}

TEST(LoadOnnx, ReadsTheNewestOpsets) {
  for (const int64_t opset : {24, 25}) {
    ModelBuilder builder(opset);
    builder.input("x", {2, 3});
    builder.node("Swish", "swish", {"x"}, {"y"});
    builder.node("TensorScatter", "scatter", {"y", "x"}, {"z"});
    builder.output("z");
    const Graph graph = builder.load();
    EXPECT_EQ(graph.node(graph.find_node("swish")).op, "swish");
    EXPECT_TRUE(graph.node(graph.find_node("scatter")).is_opaque());
  }
  ModelBuilder older(23);
  older.input("x", {2, 3});
  older.node("Swish", "swish", {"x"}, {"y"});
  older.output("y");
  EXPECT_TRUE(older.load().node(NodeId{0}).is_opaque());
}

}  // namespace
}  // namespace amct::testing
