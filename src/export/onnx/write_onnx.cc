#include "export/onnx/write_onnx.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "export/onnx/encode.h"
#include "export/onnx/lower_nodes.h"
#include "export/onnx/pieces.h"
#include "onnx_wire.pb.h"

namespace amct {
namespace {

namespace wire = amct::wire::onnx;
using onnx_file::LoweredNodes;
using onnx_file::Pieces;

constexpr int64_t kDefaultOpset = 21;  // of graphs that come from no ONNX file
constexpr int64_t kMinIrVersion = 4;   // before it, every initializer had to be an input
constexpr uint64_t kMinExternalBytes = 1024;
constexpr size_t kLongestStem = 200;           // file systems take 255 bytes
constexpr uint64_t kExternalAlignment = 4096;  // a page: readers map tensors one by one

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

using Constant = std::pair<const std::string*, const Tensor*>;

class Writer {
 public:
  Writer(const Graph& graph, OutputFiles& files, const std::filesystem::path& path, const OnnxWriteOptions& options)
      : graph_(graph), files_(files), path_(path), options_(options) {
    const auto own = graph.info.opsets.find("");
    opset_ = options.opset != 0 ? options.opset : own != graph.info.opsets.end() ? own->second : kDefaultOpset;
  }

  void run() {
    sort_sections();
    onnx_file::NameSpace names(graph_);
    lowered_ = onnx_file::lower_nodes(graph_, opset_, names);
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

  // Weights that lie in files of their own: from the largest on, until the others fit into the model's.
  void choose_external(const std::vector<Constant>& constants) {
    uint64_t total = 0;
    for (const auto& [name, tensor] : constants) total += onnx_file::payload_bytes(*tensor);
    if (total < options_.external_data_from) return;
    std::vector<const Constant*> by_size;
    for (const Constant& constant : constants) {
      if (onnx_file::payload_bytes(*constant.second) >= kMinExternalBytes) by_size.push_back(&constant);
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
      if (external) put_external(*name, *tensor, header);
      onnx_file::serialize(header, bytes);
      if (external) {
        graph.add_field(kGraphInitializer, bytes);
      } else {
        graph.add_message(kGraphInitializer, bytes, kTensorRawData, *tensor);
      }
    }
  }

  // Where the tensor's bytes go: a file that all share, or one of its own.
  OutputFiles::Writer& external_file(const std::string& name, std::string& location) {
    if (options_.external_suffix.empty()) {
      location = path_.filename().string() + ".data";
      if (data_ == nullptr) data_ = &files_.add(path_.parent_path() / location);
      return *data_;
    }
    std::string stem = name.substr(0, kLongestStem);
    std::replace(stem.begin(), stem.end(), '/', '_');
    location = stem + options_.external_suffix;
    for (int suffix = 1; !locations_.insert(location).second; ++suffix) {
      location = fmt::format("{}_{}{}", stem, suffix, options_.external_suffix);
    }
    return files_.add(path_.parent_path() / location);
  }

  void put_external(const std::string& name, const Tensor& tensor, wire::TensorProto& header) {
    std::string location;
    OutputFiles::Writer& data = external_file(name, location);
    const uint64_t misaligned = data.position() % kExternalAlignment;
    if (misaligned != 0) data.write(std::string(kExternalAlignment - misaligned, '\0'));
    const auto add = [&](const char* key, const std::string& value) {
      auto& entry = *header.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    };
    add("location", location);
    add("offset", fmt::format("{}", data.position()));
    add("length", fmt::format("{}", onnx_file::payload_bytes(tensor)));
    header.set_data_location(1);
    onnx_file::write_payload(tensor, data);
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
  std::unordered_set<std::string> external_;   // names of constants that lie in other files
  std::unordered_set<std::string> locations_;  // those files, where each has one tensor
  OutputFiles::Writer* data_ = nullptr;        // the one file, where they share it
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
