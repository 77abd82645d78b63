// Every layer of the real networks that AMCT's table of supported layers allows is quantized; quantized_layers.txt pins
// both numbers for each network, and names the constraint where they differ. The table of supported layers stands here
// once more, written independently of the rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <ostream>
#include <set>
#include <sstream>

#include "ops/op_row.h"
#include "passes/quantize/plan_layers.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

struct Pinned {
  std::string file;
  size_t allowed = 0, quantized = 0;
  std::string constraint;  // reason of every allowed layer that is not quantized
};

void PrintTo(const Pinned& row, std::ostream* out) { *out << row.file; }

std::vector<Pinned> read_table() {
  std::ifstream file("tests/workflow/pinned/quantized_layers.txt");
  std::vector<Pinned> table;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Pinned row;
    words >> row.file >> row.allowed >> row.quantized >> std::ws;
    std::getline(words, row.constraint);
    table.push_back(std::move(row));
  }
  return table;
}

size_t rank_of(const Graph& graph, ValueId value) { return graph.value(value).type.shape.rank(); }

bool has_constant(const Graph& graph, const Node& node, size_t port) {
  return node.input(port).valid() && graph.constant(node.input(port)) != nullptr;
}

// An input of the model, or what was only moved on its way from one.
bool comes_from_input(const Graph& graph, ValueId value) {
  const std::set<std::string> moves = {"slice", "reshape", "squeeze", "unsqueeze", "gather", "transpose"};
  while (value.valid() && graph.producer(value) != nullptr && moves.contains(graph.producer(value)->op)) {
    value = graph.producer(value)->input(0);
  }
  return value.valid() && graph.value(value).kind == ValueKind::kInput;
}

bool allowed_lstm(const Graph& graph, const Node& node) {
  const bool plain = attr_string(node, "direction") == "forward" && attr_int(node, "layout") == 0 &&
                     attr_int(node, "input_forget") == 0 && !node.attrs.has("clip") && !node.input(7).valid();
  const bool constants = has_constant(graph, node, 1) && has_constant(graph, node, 2) && has_constant(graph, node, 3);
  return plain && constants && comes_from_input(graph, node.input(5)) && comes_from_input(graph, node.input(6));
}

bool allowed(const Graph& graph, const Node& node) {
  if (node.op == "lstm") return allowed_lstm(graph, node);
  if (node.op == "conv" || node.op == "conv_transpose") {  // image and weight have the same rank
    if (!has_constant(graph, node, 1)) return false;
    const size_t rank = rank_of(graph, node.input(1));
    const std::vector<int64_t> dilations = attr_ints(node, "dilations");
    const bool depth_dilated = rank == 5 && !dilations.empty() && dilations[0] != 1;
    return rank >= 3 && rank <= (node.op == "conv" ? 5 : 4) && !depth_dilated;
  }
  if (node.op == "gemm") {
    return has_constant(graph, node, 1) && attr_int(node, "transA") == 0 && attr_float(node, "alpha") == 1 &&
           attr_float(node, "beta") == 1;
  }
  if (node.op == "matmul") {
    const size_t rank = rank_of(graph, node.input(1));
    if (!has_constant(graph, node, 1)) return rank >= 2 && rank_of(graph, node.input(0)) >= 2;
    return rank == 2 || rank == 3;
  }
  return node.op == "average_pool" && rank_of(graph, node.input(0)) == 4;
}

class QuantizedLayers : public ::testing::TestWithParam<Pinned> {};

TEST_P(QuantizedLayers, AreThoseThatTheTableAllows) {
  AMCT_NEEDS_ASSETS();
  Graph graph = load_model(assets() / "onnx" / GetParam().file);
  prepare(graph);
  size_t count = 0;
  std::vector<std::string> may;
  for (const NodeId id : graph.nodes()) {
    if (!allowed(graph, graph.node(id))) continue;
    ++count;
    may.push_back(graph.node(id).name);
  }
  EXPECT_EQ(count, GetParam().allowed);

  const Plan plan = plan_layers(graph);
  size_t quantized = 0;
  for (const LayerPlan& layer : plan.layers) {
    const bool is_allowed = std::find(may.begin(), may.end(), layer.name) != may.end();
    if (layer.quantize) {
      ++quantized;
      EXPECT_TRUE(is_allowed) << layer.name << " is quantized against the table";
    } else {
      EXPECT_NE(layer.reason, "") << layer.name;
      EXPECT_TRUE(!is_allowed || layer.reason == GetParam().constraint) << layer.name << ": " << layer.reason;
    }
  }
  EXPECT_EQ(quantized, GetParam().quantized);
  EXPECT_EQ(GetParam().allowed == GetParam().quantized, GetParam().constraint.empty());
}

INSTANTIATE_TEST_SUITE_P(Assets, QuantizedLayers, ::testing::ValuesIn(read_table()),
                         [](const auto& info) { return info.param.file.substr(0, info.param.file.find('.')); });

TEST(QuantizedLayersTable, NamesEveryModelOfTheAssets) {
  AMCT_NEEDS_ASSETS();
  std::set<std::string> files, named;
  for (const auto& entry : std::filesystem::directory_iterator(assets() / "onnx")) {
    files.insert(entry.path().filename().string());
  }
  for (const Pinned& row : read_table()) named.insert(row.file);
  EXPECT_EQ(named, files);
}

}  // namespace
}  // namespace amct::testing
