#include "export/onnx/write_onnx.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "export/onnx/encode.h"
#include "export/onnx/external_data.h"
#include "export/onnx/lower_nodes.h"
#include "export/onnx/pieces.h"
#include "onnx_wire.pb.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

namespace wire = amct::wire::onnx;
using onnx_file::ExternalData;
using onnx_file::LoweredNodes;
using onnx_file::Pieces;

constexpr int64_t kDefaultOpset = 21;  // of graphs that come from no ONNX file
constexpr int64_t kMinIrVersion = 4;   // before it, every initializer had to be an input

// Field numbers of the parts that are put together here.
constexpr uint32_t kModelGraph = 7, kGraphInitializer = 5, kGraphValueInfo = 13, kTensorRawData = 9;

// The IR version that came with each opset.
int64_t ir_version_of(int64_t opset) {
  struct Row {
    int64_t opset, ir;
  };
  constexpr std::array kTable = {Row{8, 3},  Row{9, 4},   Row{10, 5},  Row{11, 6},  Row{14, 7}, Row{18, 8},
                                 Row{20, 9}, Row{22, 10}, Row{23, 11}, Row{24, 12}, Row{25, 13}};
  const auto* at = std::find_if(kTable.begin(), kTable.end(), [&](const Row& row) { return opset <= row.opset; });
  return at != kTable.end() ? at->ir : kTable.back().ir;
}

std::string serialized(const google::protobuf::MessageLite& message) {
  std::string bytes;
  onnx_file::serialize(message, bytes);
  return bytes;
}

uint64_t stored_bytes(const Graph& graph) {
  uint64_t bytes = 0;
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (value.data) bytes += onnx_file::payload_bytes(value.data);
  }
  return bytes;
}

// Of the graphs within the graph's nodes.
uint64_t subgraph_bytes(const Graph& graph) {
  uint64_t bytes = 0;
  for (const NodeId id : graph.nodes()) {
    for (const Subgraph& inner : subgraphs(graph.node(id))) {
      bytes += stored_bytes(*inner.graph) + subgraph_bytes(*inner.graph);
    }
  }
  return bytes;
}

using Constant = std::pair<const std::string*, const Tensor*>;

class Writer {
 public:
  Writer(const Graph& graph, OutputFiles& files, const std::filesystem::path& path, const OnnxWriteOptions& options)
      : graph_(graph),
        files_(files),
        path_(path),
        options_(options),
        data_(files, path, options.external_suffix),
        inner_bytes_(subgraph_bytes(graph)) {
    const auto own = graph.info.opsets.find("");
    opset_ = options.opset != 0 ? options.opset : own != graph.info.opsets.end() ? own->second : kDefaultOpset;
  }

  void run() {
    sort_sections();
    onnx_file::NameSpace names(graph_);
    // All of them or none: nodes are encoded before it is known which constants of the model itself they leave.
    inner_external_ = inner_bytes_ > 0 && inner_bytes_ + stored_bytes(graph_) >= options_.external_data_from;
    lowered_ = onnx_file::lower_nodes(graph_, opset_, names, inner_external_ ? &data_ : nullptr);
    Pieces model;
    model.add_bytes(serialized(header()));
    model.add_message(kModelGraph, graph_message());
    for (const std::string& section : sections_) model.add_bytes(section);
    model.write(files_.add(path_));
  }

 private:
  // Kept parts of the file: fragments of the graph are merged with ours, all others follow as they are.
  void sort_sections() {
    for (const std::string& section : graph_.info.opaque_sections) {
      wire::ModelProto fragment;
      if (!fragment.ParseFromString(section)) throw Error(ErrorCode::kInput, "a kept part of the model is damaged");
      if (!fragment.has_graph()) {
        sections_.push_back(section);
        continue;
      }
      for (const auto& info : fragment.graph().value_info()) foreign_types_[info.name()] = info;
      for (const auto& input : fragment.graph().input()) overridable_.push_back(input);
      fragment.mutable_graph()->clear_value_info();
      fragment.mutable_graph()->clear_input();
      kept_.MergeFrom(fragment.graph());
    }
  }

  wire::ModelProto header() const {
    const ModelInfo& info = graph_.info;
    wire::ModelProto model;
    model.set_ir_version(std::max({info.ir_version, ir_version_of(opset_), kMinIrVersion}));
    model.set_producer_name(info.producer_name.empty() ? "amct" : info.producer_name);
    if (!info.producer_version.empty()) model.set_producer_version(info.producer_version);
    if (!info.domain.empty()) model.set_domain(info.domain);
    if (info.model_version != 0) model.set_model_version(info.model_version);
    if (!info.doc.empty()) model.set_doc_string(info.doc);
    std::map<std::string, int64_t> opsets = info.opsets;
    for (const auto& [domain, version] : lowered_.opsets) opsets[domain] = version;
    opsets[""] = opset_;
    for (const auto& [domain, version] : opsets) {
      auto& entry = *model.add_opset_import();
      entry.set_domain(domain);
      entry.set_version(version);
    }
    for (const auto& [key, value] : info.metadata) {
      auto& entry = *model.add_metadata_props();
      entry.set_key(key);
      entry.set_value(value);
    }
    return model;
  }

  Pieces graph_message() {
    Pieces graph;
    graph.add_bytes(std::exchange(lowered_.nodes, {}));
    add_constants(graph);
    wire::GraphProto rest = kept_;
    rest.set_name(graph_.info.graph_name.empty() ? "graph" : graph_.info.graph_name);
    for (const ValueId id : graph_.inputs()) add_value_info(id, *rest.add_input());
    for (const auto& input : overridable_) {
      if (options_.overridable_constants && constants_.contains(input.name())) *rest.add_input() = input;
    }
    for (const ValueId id : graph_.outputs()) add_value_info(id, *rest.add_output());
    graph.add_bytes(serialized(rest));
    add_value_infos(graph);
    return graph;
  }

  void add_value_infos(Pieces& graph) const {
    std::string bytes;
    for (const ValueId id : graph_.values()) {
      const Value& value = graph_.value(id);
      if (value.kind != ValueKind::kComputed || graph_.is_output(id)) continue;
      const bool known = value.type.dtype != DType::kUndefined && value.type.shape.ranked();
      if (!known && !foreign_types_.contains(value.name)) continue;
      wire::ValueInfoProto info;  // a cleared one is freed twice where memory runs out in it
      add_value_info(id, info);
      onnx_file::serialize(info, bytes);
      graph.add_field(kGraphValueInfo, bytes);
    }
  }

  void add_value_info(ValueId id, wire::ValueInfoProto& out) const {
    const Value& value = graph_.value(id);
    const auto foreign = foreign_types_.empty() ? foreign_types_.end() : foreign_types_.find(value.name);
    if (foreign != foreign_types_.end()) {
      out = foreign->second;
    } else if (value.type.dtype == DType::kUndefined && !value.type.shape.ranked()) {
      out.set_name(value.name);
    } else {
      onnx_file::encode_value_info(value.name, value.type, out);
    }
  }

  // Which of the model's own constants lie outside: from the largest on, until the others fit into its file.
  void choose_external(const std::vector<Constant>& constants) {
    uint64_t total = inner_bytes_;
    for (const auto& [name, tensor] : constants) total += onnx_file::payload_bytes(*tensor);
    if (total < options_.external_data_from) return;
    if (inner_external_) total -= inner_bytes_;
    std::vector<const Constant*> by_size;
    for (const Constant& constant : constants) {
      if (onnx_file::payload_bytes(*constant.second) >= ExternalData::kLeastBytes) by_size.push_back(&constant);
    }
    std::stable_sort(by_size.begin(), by_size.end(), [](const Constant* a, const Constant* b) {
      return onnx_file::payload_bytes(*a->second) > onnx_file::payload_bytes(*b->second);
    });
    for (const Constant* constant : by_size) {
      if (!options_.external_suffix.empty() && total < options_.external_data_from) return;
      total -= onnx_file::payload_bytes(*constant->second);
      external_.insert(*constant->first);
    }
  }

  void add_constants(Pieces& graph) {
    std::vector<Constant> constants;
    for (const ValueId id : graph_.values()) {
      const Value& value = graph_.value(id);
      if (value.kind != ValueKind::kConstant && value.kind != ValueKind::kVariable) continue;
      if (lowered_.used[id.index] || graph_.is_output(id)) constants.emplace_back(&value.name, &value.data);
    }
    for (const auto& [name, tensor] : lowered_.constants) constants.emplace_back(&name, &tensor);
    choose_external(constants);
    wire::TensorProto header;
    std::string bytes;
    for (const auto& [name, tensor] : constants) {
      if (!overridable_.empty()) constants_.insert(*name);
      header.Clear();
      onnx_file::encode_tensor_header(*tensor, *name, header);
      const bool external = !external_.empty() && external_.contains(*name);
      if (external) data_.put(*name, *tensor, header);
      onnx_file::serialize(header, bytes);
      if (external) {
        graph.add_field(kGraphInitializer, bytes);
      } else {
        graph.add_message(kGraphInitializer, bytes, kTensorRawData, *tensor);
      }
    }
  }

  const Graph& graph_;
  OutputFiles& files_;
  std::filesystem::path path_;
  OnnxWriteOptions options_;
  int64_t opset_ = 0;
  LoweredNodes lowered_;
  std::vector<std::string> sections_;
  wire::GraphProto kept_;
  std::unordered_map<std::string, wire::ValueInfoProto> foreign_types_;
  std::vector<wire::ValueInfoProto> overridable_;
  std::unordered_set<std::string> constants_;
  ExternalData data_;
  std::unordered_set<std::string> external_;  // names of the model's own constants that lie there
  uint64_t inner_bytes_;                      // of constants of subgraphs
  bool inner_external_ = false;               // they lie there too, except for small ones
};

}  // namespace

void write_onnx(const Graph& graph, OutputFiles& files, const std::filesystem::path& path,
                const OnnxWriteOptions& options) {
  try {
    Writer(graph, files, path, options).run();
  } catch (const Error& error) {
    throw error.with({.model = graph.info.path});
  }
}

void write_onnx(const Graph& graph, const std::filesystem::path& path, const OnnxWriteOptions& options) {
  OutputFiles files;
  write_onnx(graph, files, path, options);
  files.commit();
}

}  // namespace amct
