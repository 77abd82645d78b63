// 4-bit weights, two a byte: against AMCT's packing, and which layers are taken to hold them.
#include "frontends/onnx/int4_weights.h"

#include <gtest/gtest.h>

#include "frontends/onnx/model_builder.h"
#include "support/assets.h"
#include "support/npz.h"

namespace amct::testing {
namespace {

constexpr int kOnnxInt8 = 3, kOnnxIntAttribute = 2;

TEST(UnpackInt4, LowNibbleFirstAlongTheAxis) {
  // Rows of (low, high): (7, -8), (-1, 0), (3, 5) along axis 1, with an inner extent of 3.
  const Tensor packed =
      Tensor::of<int8_t>({1, 1, 3}, {static_cast<int8_t>(0x87), static_cast<int8_t>(0x0f), static_cast<int8_t>(0x53)});
  const Tensor values = onnx_file::unpack_int4(packed, 1);
  EXPECT_EQ(values.dims(), (Dims{1, 2, 3}));
  EXPECT_EQ(values.to_int64s(), (std::vector<int64_t>{7, -1, 3, -8, 0, 5}));
  EXPECT_EQ(onnx_file::unpack_int4(packed, 2).to_int64s(), (std::vector<int64_t>{7, -8, -1, 0, 3, 5}));
}

TEST(UnpackInt4, UndoesAmctsPacking) {
  AMCT_NEEDS_ASSETS();
  int cases = 0;
  for (const char* file : {"deploy_a.npz", "deploy_b.npz"}) {
    const auto arrays = read_npz(assets() / "golden" / file);
    for (const auto& [name, axis] :
         {std::pair("conv", 1), std::pair("deconv", 0), std::pair("gemm_t0", 0), std::pair("gemm_t1", 1)}) {
      const std::string base = std::string("int4pack.") + name;
      const Tensor values = onnx_file::unpack_int4(arrays.at(base + ".packed"), static_cast<size_t>(axis));
      EXPECT_TRUE(values.same_bytes(arrays.at(base + ".w_int4"))) << file << " " << name;
      ++cases;
    }
  }
  EXPECT_EQ(cases, 8);
}

// x (2, 6, 5, 4) -> [AscendQuant] -> layer with int8 weights of `dims`, all 0x21 (1 and 2), named "w".
ModelBuilder layer_model(const char* type, const std::vector<int64_t>& dims, bool quantized = true) {
  ModelBuilder builder(11);
  builder.input("x", {2, 6, 5, 4}, quantized ? kOnnxFloat : kOnnxInt8);
  if (quantized) builder.node("AscendQuant", "layer.quant", {"x"}, {"q"});
  builder.node(type, "layer", {quantized ? "q" : "x", "w"}, {"y"});
  builder.output("y");
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  builder.constant("w", dims, kOnnxInt8).set_raw_data(std::string(static_cast<size_t>(count), 0x21));
  return builder;
}

Dims weight_dims(const ModelBuilder& builder) {
  const Graph graph = builder.load();
  return graph.constant(graph.node(graph.find_node("layer")).input(1))->dims();
}

TEST(Int4Weights, HalvedInputChannelsAreUnpacked) {
  EXPECT_EQ(weight_dims(layer_model("Conv", {5, 3, 3, 1})), (Dims{5, 6, 3, 1}));
  EXPECT_EQ(weight_dims(layer_model("ConvTranspose", {3, 5, 3, 1})), (Dims{5, 6, 3, 1}));  // as (out, in, …)
  EXPECT_EQ(weight_dims(layer_model("MatMul", {2, 7})), (Dims{4, 7}));
  const Graph graph = layer_model("Conv", {5, 3, 1, 1}).load();
  const Tensor& weight = *graph.constant(graph.node(graph.find_node("layer")).input(1));
  for (const auto value : weight.to_int64s()) EXPECT_TRUE(value == 1 || value == 2);
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.shape.to_string(), "[2, 5, 5, 4]");
}

TEST(Int4Weights, FollowTheTransposition) {
  for (const bool transposed : {false, true}) {
    ModelBuilder builder(11);
    builder.input("x", {3, 6});
    builder.node("AscendQuant", "layer.quant", {"x"}, {"q"});
    auto& attribute = *builder.node("Gemm", "layer", {"q", "w"}, {"y"}).add_attribute();
    attribute.set_name("transB");
    attribute.set_type(kOnnxIntAttribute);
    attribute.set_i(transposed ? 1 : 0);
    builder.output("y");
    const std::vector<int64_t> dims = transposed ? std::vector<int64_t>{7, 3} : std::vector<int64_t>{3, 7};
    builder.constant("w", dims, kOnnxInt8).set_raw_data(std::string(21, 0x21));
    EXPECT_EQ(weight_dims(builder), transposed ? (Dims{7, 6}) : (Dims{6, 7}));
  }
}

TEST(Int4Weights, TwoLayersInARow) {
  ModelBuilder builder = layer_model("Conv", {4, 3, 3, 3});
  builder.graph().mutable_output()->Clear();
  builder.node("AscendDequant", "layer.dequant", {"y", "deq"}, {"f"});
  builder.node("AscendQuant", "next.quant", {"f"}, {"g"});
  builder.node("Conv", "next", {"g", "v"}, {"z"});
  builder.output("z");
  builder.constant("deq", {1}, 13).set_raw_data(std::string(8, 1));
  builder.constant("v", {3, 2, 1, 1}, kOnnxInt8).set_raw_data(std::string(6, 0x21));
  const Graph graph = builder.load();
  EXPECT_EQ(graph.constant(graph.node(graph.find_node("next")).input(1))->dims(), (Dims{3, 4, 1, 1}));
}

TEST(Int4Weights, FullExtentsStay) {
  EXPECT_EQ(weight_dims(layer_model("Conv", {5, 6, 3, 1})), (Dims{5, 6, 3, 1}));
  EXPECT_EQ(weight_dims(layer_model("MatMul", {4, 7})), (Dims{4, 7}));
}

TEST(Int4Weights, OtherExtentsAndGroupsAreRefused) {
  EXPECT_NE(layer_model("Conv", {5, 2, 3, 1}).error().find("its input has 6 channels"), std::string::npos);
  EXPECT_NE(layer_model("Conv", {5, 12, 3, 1}).error().find("its input has 6 channels"), std::string::npos);
  EXPECT_NE(layer_model("MatMul", {3, 7}).error().find("do not multiply"), std::string::npos);
  // Groups are never packed.
  ModelBuilder grouped = layer_model("ConvTranspose", {3, 5, 3, 1});
  auto& attribute = *grouped.graph().mutable_node(1)->add_attribute();
  attribute.set_name("group");
  attribute.set_type(kOnnxIntAttribute);
  attribute.set_i(3);
  EXPECT_NE(grouped.error().find("its input has 6 channels"), std::string::npos);
}

TEST(Int4Weights, NothingIsUnpackedWithoutAscendQuant) {
  EXPECT_NE(layer_model("Conv", {5, 3, 3, 1}, false).error().find("its input has 6 channels"), std::string::npos);
}

TEST(Int4Weights, SharedBytesAreNotTakenApart) {
  ModelBuilder builder = layer_model("Conv", {5, 3, 3, 1});
  builder.node("Conv", "second", {"q", "w"}, {"z"});
  builder.output("z");
  EXPECT_NE(builder.error().find("its input has 6 channels"), std::string::npos);
}

}  // namespace
}  // namespace amct::testing
