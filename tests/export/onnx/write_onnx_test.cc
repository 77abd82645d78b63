#include "export/onnx/write_onnx.h"

#include <fmt/format.h>

#include "frontends/onnx/model_builder.h"
#include "ir/random_tensor.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/op_row.h"

namespace amct::testing {
namespace {

const OpRow* find_row(std::string_view name) { return op_table().find(name); }

wire::ModelProto read_model(const std::filesystem::path& path) {
  wire::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(read_bytes(path)));
  return model;
}

// y = relu(x + w): w of `elements` elements.
Graph add_graph(int64_t elements) {
  return parse_text(fmt::format("opset \"\" 13\n"
                                "%x: float32[N, {0}] = input\n"
                                "%w: float32[{0}] = constant random(3)\n"
                                "%s: float32[N, {0}] = add(%x, %w) @sum\n"
                                "%y: float32[N, {0}] = relu(%s) @last\n"
                                "output %y\n",
                                elements),
                    find_row);
}

TEST(WriteOnnx, WritesNamesTypesAndWeights) {
  const ScratchFolder folder;
  write_onnx(add_graph(5), folder / "m.onnx");
  const wire::ModelProto model = read_model(folder / "m.onnx");
  EXPECT_EQ(model.ir_version(), 7);
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_EQ(model.opset_import(0).version(), 13);
  ASSERT_EQ(model.graph().node_size(), 2);
  EXPECT_EQ(model.graph().node(0).op_type(), "Add");
  EXPECT_EQ(model.graph().node(0).name(), "sum");
  EXPECT_EQ(model.graph().node(1).name(), "last");
  EXPECT_EQ(model.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  ASSERT_EQ(model.graph().initializer_size(), 1);
  EXPECT_EQ(model.graph().initializer(0).raw_data().size(), 20u);
}

TEST(WriteOnnx, ReadsBackTheSameGraph) {
  const ScratchFolder folder;
  const Graph graph = add_graph(300);
  write_onnx(graph, folder / "m.onnx");
  const Graph again = load_onnx(folder / "m.onnx");
  EXPECT_EQ(again.node_count(), graph.node_count());
  EXPECT_TRUE(again.constant(again.find_value("w"))->same_bytes(*graph.constant(graph.find_value("w"))));
  write_onnx(again, folder / "again.onnx");
  EXPECT_EQ(read_bytes(folder / "m.onnx"), read_bytes(folder / "again.onnx"));
}

TEST(WriteOnnx, BytesAreTheSameEveryTime) {
  const ScratchFolder folder;
  write_onnx(add_graph(7), folder / "a.onnx");
  write_onnx(add_graph(7), folder / "b.onnx");
  EXPECT_EQ(read_bytes(folder / "a.onnx"), read_bytes(folder / "b.onnx"));
}

TEST(WriteOnnx, LargeWeightsGoToADataFile) {
  const ScratchFolder folder;
  const Graph graph = add_graph(3001);
  write_onnx(graph, folder / "m.onnx", {.external_data_from = 10000});
  const wire::ModelProto model = read_model(folder / "m.onnx");
  EXPECT_FALSE(model.graph().initializer(0).has_raw_data());
  EXPECT_EQ(std::filesystem::file_size(folder / "m.onnx.data"), 3001u * 4);
  const Graph again = load_onnx(folder / "m.onnx");
  EXPECT_TRUE(again.constant(again.find_value("w"))->same_bytes(*graph.constant(graph.find_value("w"))));
  write_onnx(graph, folder / "inline.onnx", {.external_data_from = 12005});
  EXPECT_FALSE(std::filesystem::exists(folder / "inline.onnx.data"));
}

TEST(WriteOnnx, FourBitElementsArePackedTwoToAByte) {
  const ScratchFolder folder;
  for (const DType dtype : {DType::kInt4, DType::kUInt4}) {
    Graph graph;
    graph.info.opsets = {{"", 21}};
    const ValueId constant = graph.add_constant("c", random_tensor(dtype, {67}, 5));
    graph.set_outputs({constant});
    write_onnx(graph, folder / "m.onnx");
    EXPECT_EQ(read_model(folder / "m.onnx").graph().initializer(0).raw_data().size(), 34u);
    const Graph again = load_onnx(folder / "m.onnx");
    EXPECT_TRUE(again.constant(again.find_value("c"))->same_bytes(graph.value(constant).data));
  }
}

TEST(WriteOnnx, OpaqueNodesAreWrittenByteForByte) {
  const ScratchFolder folder;
  ModelBuilder builder = relu_model();
  auto& node = builder.node("Frobnicate", "f", {"y", "", "x"}, {"z", "", "w"});
  node.set_domain("com.example");
  node.add_attribute()->set_name("odd");
  node.mutable_attribute(0)->set_ref_attr_name("ref");
  const std::string bytes = node.SerializeAsString();
  builder.model.add_opset_import()->set_domain("com.example");
  builder.model.mutable_opset_import(1)->set_version(3);
  builder.output("z");
  write_onnx(builder.load(), folder / "m.onnx");
  const wire::ModelProto model = read_model(folder / "m.onnx");
  EXPECT_EQ(model.graph().node(1).SerializeAsString(), bytes);
  EXPECT_EQ(model.opset_import_size(), 2);
  // A custom domain does not hold the standard one.
  write_onnx(builder.load(), folder / "m.onnx", {.opset = 17});
  EXPECT_EQ(read_model(folder / "m.onnx").opset_import(0).version(), 17);
}

TEST(WriteOnnx, AnOpaqueNodeOfTheStandardDomainHoldsTheOpset) {
  const ScratchFolder folder;
  ModelBuilder builder = relu_model();
  builder.node("Frobnicate", "frob", {"y"}, {"z"});
  builder.output("z");
  const Graph graph = builder.load();
  write_onnx(graph, folder / "same.onnx");
  try {
    write_onnx(graph, folder / "other.onnx", {.opset = 17});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(error.where().node, "frob");
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "other.onnx"));
}

// An unknown operator whose subgraph reads `y` of the graph around it.
ModelBuilder if_model() {
  ModelBuilder builder = relu_model();
  builder.input("c", {}, 9);
  auto& node = builder.node("Branch", "if", {"c"}, {"z"});
  node.set_domain("com.example");
  auto& attr = *node.add_attribute();
  attr.set_name("then_branch");
  attr.set_type(5);
  auto& inner = *attr.mutable_g()->add_node();
  inner.set_op_type("Neg");
  inner.add_input("y");
  inner.add_output("inner");
  attr.mutable_g()->add_output()->set_name("inner");
  builder.output("z");
  builder.graph().mutable_output()->DeleteSubrange(0, 1);
  return builder;
}

TEST(WriteOnnx, ARenamedCapturedValueGetsItsOldNameBack) {
  const ScratchFolder folder;
  Graph graph = if_model().load();
  graph.rename_value(graph.find_value("y"), "renamed");
  write_onnx(graph, folder / "m.onnx");
  const wire::ModelProto model = read_model(folder / "m.onnx");
  ASSERT_EQ(model.graph().node_size(), 3);
  EXPECT_EQ(model.graph().node(1).op_type(), "Identity");
  EXPECT_EQ(model.graph().node(1).input(0), "renamed");
  EXPECT_EQ(model.graph().node(1).output(0), "y");
  EXPECT_TRUE(verify(load_onnx(folder / "m.onnx")).empty());
}

TEST(WriteOnnx, RenamedInputsAndOutputsOfOpaqueNodes) {
  const ScratchFolder folder;
  Graph graph = if_model().load();
  graph.rename_value(graph.find_value("c"), "condition");
  graph.rename_value(graph.find_value("z"), "result");
  write_onnx(graph, folder / "m.onnx");
  const wire::ModelProto model = read_model(folder / "m.onnx");
  const wire::NodeProto& node = model.graph().node(1);
  EXPECT_EQ(node.input(0), "condition");
  EXPECT_EQ(node.output(0), "result");
  EXPECT_EQ(node.input_size(), 1);
}

TEST(WriteOnnx, OverridableConstantsStayInputsOnRequest) {
  const ScratchFolder folder;
  ModelBuilder builder = relu_model();
  builder.input("w", {1});
  builder.constant("w", {1}).add_float_data(2);
  builder.node("Add", "add", {"y", "w"}, {"z"});
  builder.output("z");
  const Graph graph = builder.load();
  write_onnx(graph, folder / "m.onnx");
  EXPECT_EQ(read_model(folder / "m.onnx").graph().input_size(), 2);
  write_onnx(graph, folder / "m.onnx", {.overridable_constants = false});
  EXPECT_EQ(read_model(folder / "m.onnx").graph().input_size(), 1);
}

TEST(WriteOnnx, MetadataComesBack) {
  const ScratchFolder folder;
  ModelBuilder builder = relu_model();
  builder.model.add_metadata_props()->set_key("k");
  builder.graph().set_doc_string("about");
  builder.graph().add_quantization_annotation()->set_tensor_name("y");
  write_onnx(builder.load(), folder / "m.onnx");
  const wire::ModelProto model = read_model(folder / "m.onnx");
  EXPECT_EQ(model.metadata_props(0).key(), "k");
  EXPECT_EQ(model.graph().doc_string(), "about");
  EXPECT_EQ(model.graph().quantization_annotation(0).tensor_name(), "y");
}

TEST(WriteOnnx, OverwritesTheFileThatItsWeightsLieIn) {
  const ScratchFolder folder;
  write_onnx(add_graph(3000), folder / "m.onnx");
  const std::string before = read_bytes(folder / "m.onnx");
  write_onnx(load_onnx(folder / "m.onnx"), folder / "m.onnx");
  EXPECT_EQ(read_bytes(folder / "m.onnx"), before);
}

// w0 has `elements` elements, each further one half as many; their names have a slash.
Graph halving_graph(int64_t elements, int weights) {
  Graph graph;
  graph.info.opsets[""] = 13;
  std::vector<ValueId> sums;
  for (int i = 0; i < weights; ++i, elements /= 2) {
    const Tensor w = random_tensor(DType::kFloat32, {elements}, static_cast<uint64_t>(i));
    const ValueId id = graph.add_constant(fmt::format("block/w{}", i), w);
    sums.push_back(graph.node(add_op(graph, "relu", "relu", {id})).output());
  }
  graph.set_outputs(sums);
  return graph;
}

TEST(WriteOnnx, TheLargestWeightsGoToFilesOfTheirOwn) {
  const ScratchFolder folder;
  const Graph graph = halving_graph(2000, 4);  // 8000, 4000, 2000 and 1000 bytes
  write_onnx(graph, folder / "m.onnx", {.external_data_from = 3500, .external_suffix = "_deploy.external"});
  const wire::ModelProto model = read_model(folder / "m.onnx");
  for (int i = 0; i < 4; ++i) {
    const auto& tensor = model.graph().initializer(i);
    EXPECT_EQ(tensor.has_raw_data(), i >= 2) << tensor.name();
    if (i >= 2) continue;
    EXPECT_EQ(tensor.external_data(0).value(), fmt::format("block_w{}_deploy.external", i));
    EXPECT_EQ(std::filesystem::file_size(folder / tensor.external_data(0).value()), 8000u >> i);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "m.onnx.data"));
  const Graph again = load_onnx(folder / "m.onnx");
  for (int i = 0; i < 4; ++i) {
    const std::string name = fmt::format("block/w{}", i);
    EXPECT_TRUE(again.constant(again.find_value(name))->same_bytes(*graph.constant(graph.find_value(name)))) << name;
  }
}

TEST(WriteOnnx, FilesOfTensorsDoNotCollide) {
  const ScratchFolder folder;
  Graph graph = halving_graph(2000, 2);
  graph.rename_value(graph.find_value("block/w1"), "block_w0");
  write_onnx(graph, folder / "m.onnx", {.external_data_from = 1, .external_suffix = ".external"});
  const Graph again = load_onnx(folder / "m.onnx");
  EXPECT_EQ(again.constant(again.find_value("block/w0"))->size(), 2000);
  EXPECT_EQ(again.constant(again.find_value("block_w0"))->size(), 1000);
  EXPECT_TRUE(std::filesystem::exists(folder / "block_w0_1.external"));
}

TEST(WriteOnnx, DeferredTensorsAreMadeOnceAndNotKept) {
  const ScratchFolder folder;
  const Tensor data = random_tensor(DType::kFloat32, {5000}, 7);
  int made = 0;
  Graph graph;
  graph.info.opsets[""] = 13;
  const ValueId w = graph.add_constant("w", Tensor::deferred(DType::kFloat32, {5000}, [&] {
                                         ++made;
                                         return data;
                                       }));
  graph.set_outputs({graph.node(add_op(graph, "relu", "relu", {w})).output()});
  write_onnx(graph, folder / "m.onnx");
  EXPECT_EQ(made, 1);
  EXPECT_TRUE(graph.constant(w)->is_deferred());
  const Graph again = load_onnx(folder / "m.onnx");
  EXPECT_TRUE(again.constant(again.find_value("w"))->same_bytes(data));
}

TEST(WriteOnnx, TrainingModeBatchNormHasAllItsOutputs) {
  const ScratchFolder folder;
  Graph graph;
  graph.info.opsets[""] = 17;
  std::vector<ValueId> inputs{graph.add_input("x", {DType::kFloat32, Shape::of({2, 3, 5})})};
  for (const char* name : {"scale", "bias", "mean", "variance"}) {
    inputs.push_back(graph.add_constant(name, Tensor::of<float>({3}, {1, 2, 3})));
  }
  graph.set_outputs({graph.node(add_op(graph, "bn", "batch_norm_training", inputs, {}, "y")).output()});
  write_onnx(graph, folder / "m.onnx");
  const wire::ModelProto model = read_model(folder / "m.onnx");
  ASSERT_EQ(model.graph().node_size(), 1);
  EXPECT_EQ(std::vector<std::string>(model.graph().node(0).output().begin(), model.graph().node(0).output().end()),
            (std::vector<std::string>{"y", "bn.unused1", "bn.unused2"}));
  EXPECT_EQ(load_onnx(folder / "m.onnx").node_count(), 1u);
}

}  // namespace
}  // namespace amct::testing
