#include "frontends/onnx/node_order.h"

#include <fmt/core.h>

#include <functional>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "frontends/onnx/node_decode.h"
#include "onnx_wire.pb.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

[[noreturn]] void fault(std::string message, const std::string& name, const wire::NodeProto& node) {
  throw Error(ErrorCode::kInput, std::move(message), {.node = name, .op = node.op_type()},
              "the model is damaged; export it again");
}

// Names of nodes have precedence over names borrowed from outputs; a repeated name gets a suffix.
std::vector<std::string> layer_keys(const wire::GraphProto& graph) {
  const int count = graph.node_size();
  std::vector<std::string> keys(static_cast<size_t>(count));
  std::unordered_set<std::string> taken;
  for (int i = 0; i < count; ++i) {
    const std::string& name = graph.node(i).name();
    if (!name.empty() && taken.insert(name).second) keys[static_cast<size_t>(i)] = name;
  }
  std::unordered_map<std::string, int> next;
  for (int i = 0; i < count; ++i) {
    std::string& key = keys[static_cast<size_t>(i)];
    if (!key.empty()) continue;
    const std::string base = own_name(graph.node(i));
    key = base;
    while (!taken.insert(key).second) key = fmt::format("{}_{}", base, ++next[base]);
  }
  return keys;
}

class Orderer {
 public:
  Orderer(const wire::GraphProto& graph, const std::unordered_set<std::string>& given) : graph_(graph), given_(given) {}

  NodeOrder run() {
    result_.names = layer_keys(graph_);
    find_producers();
    connect();
    sort();
    return std::move(result_);
  }

 private:
  void find_producers() {
    for (int i = 0; i < graph_.node_size(); ++i) {
      for (const auto& output : graph_.node(i).output()) {
        if (output.empty()) continue;
        if (given_.contains(output) || !producer_.emplace(output, i).second) {
          fault(fmt::format("value '{}' is produced twice", output), name(i), graph_.node(i));
        }
      }
    }
  }

  void connect() {
    const auto count = static_cast<size_t>(graph_.node_size());
    consumers_.resize(count);
    waiting_.resize(count, 0);
    result_.captures.resize(count);
    for (int i = 0; i < graph_.node_size(); ++i) {
      const wire::NodeProto& node = graph_.node(i);
      for (const auto& input : node.input()) depend(i, input);
      if (!has_subgraph(node)) continue;
      result_.captures[static_cast<size_t>(i)] = captured_names(node);
      for (const auto& captured : result_.captures[static_cast<size_t>(i)]) depend(i, captured);
    }
  }

  void depend(int node, const std::string& value) {
    if (value.empty() || given_.contains(value)) return;
    const auto producer = producer_.find(value);
    if (producer == producer_.end()) {
      fault(fmt::format("input '{}' is produced by nothing", value), name(node), graph_.node(node));
    }
    consumers_[static_cast<size_t>(producer->second)].push_back(node);
    ++waiting_[static_cast<size_t>(node)];
  }

  void sort() {
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (int i = 0; i < graph_.node_size(); ++i) {
      if (waiting_[static_cast<size_t>(i)] == 0) ready.push(i);
    }
    while (!ready.empty()) {
      const int node = ready.top();
      ready.pop();
      result_.order.push_back(node);
      for (const int consumer : consumers_[static_cast<size_t>(node)]) {
        if (--waiting_[static_cast<size_t>(consumer)] == 0) ready.push(consumer);
      }
    }
    for (int i = 0; i < graph_.node_size(); ++i) {
      if (waiting_[static_cast<size_t>(i)] > 0) {
        fault("the node is on a cycle, or behind one", name(i), graph_.node(i));
      }
    }
  }

  const std::string& name(int node) const { return result_.names[static_cast<size_t>(node)]; }

  const wire::GraphProto& graph_;
  const std::unordered_set<std::string>& given_;
  NodeOrder result_;
  std::unordered_map<std::string, int> producer_;
  std::vector<std::vector<int>> consumers_;
  std::vector<int> waiting_;
};

}  // namespace

NodeOrder order_nodes(const wire::GraphProto& graph, const std::unordered_set<std::string>& given) {
  return Orderer(graph, given).run();
}

}  // namespace amct::onnx_file
