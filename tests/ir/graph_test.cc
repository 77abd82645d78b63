#include "ir/graph.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>
#include <map>
#include <random>

#include "ir/verify.h"

namespace amct {
namespace {

const TensorType kFloats{DType::kFloat32, {}};

NodeId add(Graph& graph, std::vector<ValueId> inputs) {
  return graph.add_node("n", "d::N", nullptr, std::move(inputs), {"v"});
}

TEST(Graph, UsesFollowRandomRewrites) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const auto below = [&](size_t n) { return random() % n; };
  Graph graph;
  std::vector<ValueId> sources{graph.add_input("x", kFloats), graph.add_constant("c", Tensor::scalar(1.0f))};
  for (int i = 0; i < 40; ++i) {
    std::vector<ValueId> inputs;
    for (size_t port = below(4); port-- > 0;)
      inputs.push_back(below(5) == 0 ? kNoValue : sources[below(sources.size())]);
    sources.push_back(graph.node(add(graph, inputs)).output());
  }
  graph.set_outputs({sources.back()});
  for (int change = 0; change < 2000; ++change) {
    const std::vector<NodeId> nodes = graph.nodes();
    const NodeId id = nodes[below(nodes.size())];
    switch (below(4)) {
      case 0: graph.set_input(id, below(5), below(4) == 0 ? kNoValue : sources[below(2)]); break;
      case 1: graph.set_inputs(id, {sources[0], sources[1], kNoValue, sources[0]}); break;
      case 2: graph.replace_uses(graph.node(id).output(), sources[below(2)]); break;
      default: {
        const ValueId output = graph.node(id).output();
        if (graph.value(output).uses.empty() && !graph.is_output(output) && nodes.size() > 10) {
          graph.erase_node(id);
        } else {
          add(graph, {output, sources[1], output});
        }
      }
    }
    if (!graph.alive(sources[1])) sources[1] = graph.add_constant("c", Tensor::scalar(1.0f));
  }
  EXPECT_EQ(verify(graph), std::vector<std::string>());
}

TEST(Graph, NamesAreFoundThroughRenamesAndRemovals) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  Graph graph;
  std::map<std::string, ValueId> expected;
  for (int change = 0; change < 5000; ++change) {
    const std::string base = fmt::format("value_{}", random() % 300);
    switch (random() % 3) {
      case 0: {
        const ValueId id = graph.add_constant(base, Tensor::scalar(1.0f));
        EXPECT_TRUE(expected.emplace(graph.value(id).name, id).second) << graph.value(id).name;
        break;
      }
      case 1:
        if (const auto at = expected.find(base); at != expected.end()) {
          graph.erase_value(at->second);
          expected.erase(at);
        }
        break;
      default:
        if (const auto at = expected.find(base); at != expected.end()) {
          const ValueId id = at->second;
          expected.erase(at);
          graph.rename_value(id, fmt::format("value_{}", random() % 300));
          EXPECT_TRUE(expected.emplace(graph.value(id).name, id).second) << graph.value(id).name;
        }
    }
  }
  const Graph copy = graph;
  for (const auto& [name, id] : expected) {
    EXPECT_EQ(graph.find_value(name), id) << name;
    EXPECT_EQ(copy.find_value(name), id) << name;
  }
  EXPECT_EQ(graph.values().size(), expected.size());
  EXPECT_EQ(graph.find_value("value_300"), kNoValue);
  EXPECT_EQ(Graph().find_value("value_1"), kNoValue);
}

TEST(Graph, ReferencesStayValidWhileItGrows) {
  Graph graph;
  const Value& first = graph.value(graph.add_input("first", kFloats));
  Graph copy = graph;  // whose blocks must have room as well
  const Value& first_of_copy = copy.value(copy.find_value("first"));
  for (int i = 0; i < 1000; ++i) {
    graph.add_constant("c", Tensor::scalar(1.0f));
    copy.add_constant("c", Tensor::scalar(1.0f));
  }
  EXPECT_EQ(first.name, "first");
  EXPECT_EQ(&first, &graph.value(graph.find_value("first")));
  EXPECT_EQ(&first_of_copy, &copy.value(copy.find_value("first")));
}

TEST(Graph, OutputsAreKnownThroughReplacements) {
  Graph graph;
  const ValueId x = graph.add_input("x", kFloats);
  const ValueId a = graph.node(add(graph, {x})).output();
  const ValueId b = graph.node(add(graph, {x})).output();
  graph.set_outputs({a, a});
  EXPECT_TRUE(graph.is_output(a));
  EXPECT_FALSE(graph.is_output(kNoValue));
  const std::string name = graph.value(a).name;
  graph.replace_uses(a, b);
  EXPECT_FALSE(graph.is_output(a));
  EXPECT_TRUE(graph.is_output(b));
  EXPECT_EQ(graph.outputs(), (std::vector<ValueId>{b, b}));
  EXPECT_EQ(graph.value(b).name, name);
  graph.set_outputs({x});
  EXPECT_FALSE(graph.is_output(b));
}

TEST(Graph, OrderPutsProducersFirst) {
  Graph graph;
  const ValueId x = graph.add_input("x", kFloats);
  const NodeId first = add(graph, {x});
  const NodeId second = add(graph, {x});
  EXPECT_EQ(graph.topological_order(), (std::vector<NodeId>{first, second}));
  graph.set_input(first, 0, graph.node(second).output());
  EXPECT_EQ(graph.topological_order(), (std::vector<NodeId>{second, first}));
  graph.set_input(second, 0, graph.node(first).output());
  EXPECT_THROW(graph.topological_order(), Error);
}

// With a search through the uses, this would take minutes.
TEST(Graph, AConstantWithManyUsesCostsNoSearch) {
  constexpr int kUses = 200'000;
  Graph graph;
  const ValueId x = graph.add_input("x", kFloats);
  const ValueId shared = graph.add_constant("shared", Tensor::scalar(1.0f));
  std::vector<NodeId> nodes;
  for (int i = 0; i < kUses; ++i) nodes.push_back(add(graph, {x, shared}));
  const std::clock_t start = std::clock();
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (i % 2 == 0) {
      graph.set_input(nodes[i], 1, x);
    } else {
      graph.erase_node(nodes[i]);
    }
  }
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 5);
  EXPECT_FALSE(graph.alive(shared));
  EXPECT_EQ(graph.value(x).uses.size(), static_cast<size_t>(kUses));
}

}  // namespace
}  // namespace amct
