// Constants of subgraphs beside the model file; those of the model itself are in write_onnx_test.cc.
#include "export/onnx/external_data.h"

#include <gtest/gtest.h>

#include <map>

#include "exec/session.h"
#include "export/onnx/write_onnx.h"
#include "frontends/onnx/model_builder.h"
#include "ir/random_tensor.h"
#include "ops/control_flow.h"
#include "support/graphs.h"

namespace amct::testing {
namespace {

// 2800 bytes of the model itself; in its subgraphs 1020 (too few to go), 1780, and one level deeper twice 2800.
Graph nested() {
  return graph_of(R"(
    %c: bool[] = input
    %d: bool[] = input
    %x: float32[700] = input
    %w: float32[700] = constant random(1)
    %y: float32[700] = if(%c, %d, %x) {captures=2, then_branch=graph {
      %d: bool[] = input
      %x: float32[700] = input
      %small: float32[255] = constant random(2)
      %rest: float32[445] = constant random(3)
      %joined: float32[700] = concat(%small, %rest) {axis=0}
      %product: float32[700] = mul(%x, %joined)
      output %product
    }, else_branch=graph {
      %d: bool[] = input
      %x: float32[700] = input
      %choice: float32[700] = if(%d, %x) {captures=1, then_branch=graph {
        %x: float32[700] = input
        %far/w: float32[700] = constant random(4)
        %sum: float32[700] = add(%x, %far/w)
        output %sum
      }, else_branch=graph {
        %x: float32[700] = input
        %far_w: float32[700] = constant random(5)
        %sum: float32[700] = sub(%x, %far_w)
        output %sum
      }}
      output %choice
    }}
    %z: float32[700] = add(%y, %w)
    output %z
  )");
}
constexpr uint64_t kAll = 11200;  // bytes

// Name -> the file that holds the tensor, "" for the model's own.
void list_places(const wire::GraphProto& graph, std::map<std::string, std::string>& places) {
  for (const auto& tensor : graph.initializer()) {
    EXPECT_NE(tensor.has_raw_data(), tensor.data_location() == 1) << tensor.name();
    places[tensor.name()] = tensor.has_raw_data() ? "" : tensor.external_data(0).value();
  }
  for (const auto& node : graph.node()) {
    for (const auto& attribute : node.attribute()) list_places(attribute.g(), places);
  }
}

using Places = std::map<std::string, std::string>;

// Where the tensors are after writing; what is read back computes the same.
Places places_of(const OnnxWriteOptions& options) {
  const ScratchFolder folder;
  const Graph graph = nested();
  write_onnx(graph, folder / "m.onnx", options);
  const Graph again = load_onnx(folder / "m.onnx");
  const Tensor x = amct::random_tensor(DType::kFloat32, {700}, 6);
  for (const bool c : {true, false}) {
    for (const bool d : {true, false}) {
      const Tensor expected = Session{Graph(graph)}.run({bool_tensor(c), bool_tensor(d), x})[0];
      EXPECT_TRUE(Session{Graph(again)}.run({bool_tensor(c), bool_tensor(d), x})[0].same_bytes(expected)) << c << d;
    }
  }
  wire::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(read_bytes(folder / "m.onnx")));
  Places places;
  list_places(model.graph(), places);
  for (const auto& [name, file] : places) EXPECT_TRUE(std::filesystem::exists(folder / file)) << name;
  return places;
}

TEST(ExternalData, ConstantsOfSubgraphsCountAndGoWithTheOthers) {
  EXPECT_EQ(places_of({.external_data_from = kAll + 1}),
            (Places{{"w", ""}, {"small", ""}, {"rest", ""}, {"far/w", ""}, {"far_w", ""}}));
  const std::string data = "m.onnx.data";
  EXPECT_EQ(places_of({.external_data_from = kAll}),
            (Places{{"w", data}, {"small", ""}, {"rest", data}, {"far/w", data}, {"far_w", data}}));
}

TEST(ExternalData, WithFilesOfTheirOwnThoseOfSubgraphsGoFirst) {
  Places places = {{"w", ""}, {"small", ""}, {"rest", "rest.ext"}, {"far/w", "far_w_1.ext"}, {"far_w", "far_w.ext"}};
  EXPECT_EQ(places_of({.external_data_from = 2801, .external_suffix = ".ext"}), places);
  places["w"] = "w.ext";
  EXPECT_EQ(places_of({.external_data_from = 2800, .external_suffix = ".ext"}), places);
}

}  // namespace
}  // namespace amct::testing
