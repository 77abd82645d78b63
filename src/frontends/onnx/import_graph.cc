#include "frontends/onnx/import_graph.h"

#include <fmt/core.h>

#include <unordered_set>

#include "frontends/onnx/int4_weights.h"
#include "frontends/onnx/node_decode.h"
#include "frontends/onnx/node_order.h"
#include "onnx_wire.pb.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct::onnx_file {
namespace {

namespace wire = amct::wire::onnx;

[[noreturn]] void fault(std::string message) {
  throw Error(ErrorCode::kInput, std::move(message), {}, "the model is damaged; export it again");
}

// What all graphs of a file share.
struct Shared {
  const wire::ModelProto& model;
  TensorDecoder& tensors;
  const std::vector<Opsets>& scopes;
};

// Where a subgraph stands.
struct Nesting {
  size_t depth = 0;
  size_t loops = 0;  // among them
};

// Shape rules look at the body of a loop up to three times, in nested loops at each level.
constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxLoops = 6;

// One graph: inputs, constants, nodes, outputs.
class GraphImporter {
 public:
  GraphImporter(Graph& graph, const wire::GraphProto& file, const Shared& shared, Nesting nesting)
      : graph_(graph),
        file_(file),
        shared_(shared),
        nesting_(nesting),
        nodes_(graph, shared.tensors, shared.scopes,
               [this](const wire::GraphProto& inner, const SourceNode& node) { return subgraph(inner, node); }) {}

  void run_main(const std::vector<Bytes>& nodes) {
    add_inputs();
    fill(nodes);
    if (graph_.outputs().empty()) fault("the model has no outputs");
    unpack_int4_weights(graph_);
    take_casts_off_int4_biases(graph_);
  }

  // The captures follow the formal parameters. A capture that only other subgraphs of the node read may have the name
  // of a value in here.
  void run_nested(const SourceNode& node, const Graph& around) {
    for (const auto& input : file_.input()) add_input(input);
    const std::unordered_set<std::string> own = defined_names();
    for (size_t i = 0; i < node.captures.size(); ++i) {
      const std::string& name = node.captures[i];
      if (!own.contains(name)) give(name, "a captured value");
      const TensorType type = node.captured[i].valid() ? around.value(node.captured[i]).type : TensorType{};
      const ValueId id = graph_.add_input(own.contains(name) ? name + ".outer" : name, type);
      if (!own.contains(name)) graph_.value(id).origin.name = name;
    }
    fill(std::vector<Bytes>(static_cast<size_t>(file_.node_size())));
    unpack_int4_weights(graph_);
    take_casts_off_int4_biases(graph_);
  }

  ValueId lookup(const std::string& name) const { return name.empty() ? kNoValue : graph_.find_value(name); }

 private:
  void fill(const std::vector<Bytes>& nodes) {
    graph_.info.graph_name = file_.name();
    add_constants();
    read_declared_types();
    import_nodes(nodes);
    set_outputs();
    drop_replaced_constants();
  }

  std::shared_ptr<const Graph> subgraph(const wire::GraphProto& inner, const SourceNode& node) {
    const std::string& type = node.proto->op_type();
    const Nesting nesting{nesting_.depth + 1, nesting_.loops + (type == "Loop" || type == "Scan" ? 1 : 0)};
    if (nesting.depth > kMaxDepth || nesting.loops > kMaxLoops) {
      throw Error(ErrorCode::kInput,
                  fmt::format("subgraphs are nested more than {} deep, or loops more than {}", kMaxDepth, kMaxLoops));
    }
    auto graph = std::make_shared<Graph>();
    graph->info.opsets = graph_.info.opsets;
    GraphImporter(*graph, inner, shared_, nesting).run_nested(node, graph_);
    for (const auto& [domain, version] : graph->info.opsets) graph_.info.opsets.try_emplace(domain, version);
    graph->info.opsets.clear();  // they are the model's
    return graph;
  }

  std::unordered_set<std::string> defined_names() const {
    std::unordered_set<std::string> names;
    for (const auto& input : file_.input()) names.insert(input.name());
    for (const auto& tensor : file_.initializer()) names.insert(tensor.name());
    for (const auto& tensor : file_.sparse_initializer()) names.insert(tensor.values().name());
    for (const auto& node : file_.node()) names.insert(node.output().begin(), node.output().end());
    return names;
  }

  // The value's name may be given once.
  void give(const std::string& name, std::string_view what) {
    if (name.empty()) fault(fmt::format("{} has no name", what));
    if (!given_.insert(name).second) fault(fmt::format("value '{}' is given twice", name));
  }

  // An input that has an initializer is a constant: a default that nobody overrides.
  void add_inputs() {
    std::unordered_set<std::string> initialized;
    for (const auto& tensor : file_.initializer()) initialized.insert(tensor.name());
    for (const auto& tensor : file_.sparse_initializer()) initialized.insert(tensor.values().name());
    for (const auto& input : file_.input()) {
      if (initialized.contains(input.name())) continue;
      add_input(input);
    }
  }

  void add_input(const wire::ValueInfoProto& input) {
    give(input.name(), "an input");
    graph_.value(graph_.add_input(input.name(), decode_type(input.type(), input.name()))).origin.name = input.name();
  }

  void add_constants() {
    for (const auto& tensor : file_.initializer()) {
      give(tensor.name(), "an initializer");
      if (dtype_is_string(tensor)) {
        nodes_.import_string(tensor);
      } else {
        graph_.value(graph_.add_constant(tensor.name(), shared_.tensors.decode(tensor))).origin.name = tensor.name();
      }
    }
    for (const auto& sparse : file_.sparse_initializer()) {
      give(sparse.values().name(), "a sparse initializer");
      graph_.add_constant(sparse.values().name(), shared_.tensors.decode(sparse));
    }
  }

  static bool dtype_is_string(const wire::TensorProto& tensor) { return tensor.data_type() == 8; }

  void import_nodes(const std::vector<Bytes>& nodes) {
    NodeOrder order = order_nodes(file_, given_);
    AMCT_CHECK(nodes.size() == static_cast<size_t>(file_.node_size()), "the walk and the parser saw other nodes");
    for (const int index : order.order) {
      const auto at = static_cast<size_t>(index);
      SourceNode source{&file_.node(index), nodes[at], order.names[at], {}, std::move(order.captures[at]), {}};
      for (const auto& input : source.proto->input()) source.inputs.push_back(lookup(input));
      for (const auto& captured : source.captures) source.captured.push_back(lookup(captured));
      nodes_.import(source);
      declare_outputs(*source.proto);
    }
  }

  void read_declared_types() {
    for (const auto* list : {&file_.value_info(), &file_.output()}) {
      for (const auto& info : *list) declared_[info.name()] = decode_type(info.type(), info.name());
    }
  }

  // What the file says about the outputs of a node; the shape rules complete it.
  void declare_outputs(const wire::NodeProto& node) {
    for (const auto& output : node.output()) {
      const auto declared = declared_.find(output);
      const ValueId id = lookup(output);
      if (declared == declared_.end() || !id.valid() || graph_.value(id).kind != ValueKind::kComputed) continue;
      graph_.value(id).type = declared->second;
    }
  }

  void set_outputs() {
    std::vector<ValueId> outputs;
    std::unordered_set<std::string> names;
    for (const auto& output : file_.output()) {
      const ValueId id = lookup(output.name());
      if (!id.valid()) fault(fmt::format("output '{}' is produced by nothing", output.name()));
      const bool again = !names.insert(output.name()).second;
      if (again && nesting_.depth == 0) fault(fmt::format("output '{}' is listed twice", output.name()));
      outputs.push_back(id);
    }
    graph_.set_outputs(std::move(outputs));
  }

  // A row may keep a constant in another form under a name of its own, with the file's name as origin: once nothing
  // uses the stored form, its name is free for the export.
  void drop_replaced_constants() {
    for (const ValueId id : graph_.values()) {
      if (!graph_.alive(id)) continue;
      const std::string stored = graph_.value(id).origin.name;
      if (!graph_.value(id).is_constant() || stored.empty() || stored == graph_.value(id).name) continue;
      const ValueId original = graph_.find_value(stored);
      if (!original.valid() || graph_.constant(original) == nullptr || graph_.is_output(original)) continue;
      if (graph_.value(original).uses.empty()) graph_.erase_value(original);
    }
  }

  Graph& graph_;
  const wire::GraphProto& file_;
  const Shared& shared_;
  Nesting nesting_;
  NodeImporter nodes_;
  std::unordered_set<std::string> given_;
  std::unordered_map<std::string, TensorType> declared_;
};

class ModelImporter {
 public:
  ModelImporter(const wire::ModelProto& model, const FileParts& parts, TensorDecoder& tensors)
      : model_(model), file_(model.graph()), parts_(parts), tensors_(tensors) {}

  Graph run(const std::string& path) {
    graph_.info.path = path;
    read_header();
    check_opset();
    for (const Bytes field : parts_.kept_fields) {
      graph_.info.opaque_sections.emplace_back(reinterpret_cast<const char*>(field.data()), field.size());
    }
    const Shared shared{model_, tensors_, parts_.scopes};
    GraphImporter(graph_, file_, shared, {}).run_main(parts_.nodes);
    keep_graph_fields();
    update_types(graph_);
    complete_subgraph_types(graph_);
    update_types(graph_);
    return std::move(graph_);
  }

 private:
  void read_header() {
    ModelInfo& info = graph_.info;
    info.format = "onnx";
    info.ir_version = model_.ir_version();
    info.producer_name = model_.producer_name();
    info.producer_version = model_.producer_version();
    info.domain = model_.domain();
    info.doc = model_.doc_string();
    info.model_version = model_.model_version();
    for (const auto& entry : model_.metadata_props()) info.metadata[entry.key()] = entry.value();
    for (const auto& opset : model_.opset_import()) info.opsets[normalized_domain(opset.domain())] = opset.version();
    // Files of the first two IR versions do not say it: they are of opset 1.
    if (model_.opset_import_size() == 0 && !(model_.ir_version() == 1 || model_.ir_version() == 2)) {
      fault("the model does not say its opset");
    }
    info.opsets.try_emplace("", 1);
  }

  static void check_not_newer(int64_t opset) {
    if (opset <= kNewestOpset) return;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("opset {} is newer than {}, the newest that is read", opset, kNewestOpset), {},
                "export the model for an older opset");
  }

  void check_opset() const {
    for (const Opsets& scope : parts_.scopes) {
      if (const auto own = scope.find(""); own != scope.end()) check_not_newer(own->second);
    }
    const int64_t opset = graph_.info.opsets.at("");
    check_not_newer(opset);
    if (opset >= kOldestOpset) return;
    for (const auto& node : file_.node()) {
      if (!normalized_domain(node.domain()).empty() || node.op_type() == "Constant") continue;
      if (op_table().match(Framework::kOnnx, "", node.op_type(), opset).row == nullptr) {
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("opset {} is older than {}, the oldest that is read, and operator {} differs there",
                                opset, kOldestOpset, node.op_type()),
                    {}, "convert the model with onnx.version_converter");
      }
    }
  }

  // Parts of the graph that have no place in ours: kept as a fragment of the file.
  void keep_graph_fields() {
    wire::ModelProto fragment;
    wire::GraphProto& kept = *fragment.mutable_graph();
    if (file_.has_doc_string()) kept.set_doc_string(file_.doc_string());
    *kept.mutable_metadata_props() = file_.metadata_props();
    *kept.mutable_quantization_annotation() = file_.quantization_annotation();
    for (const auto* list : {&file_.input(), &file_.output(), &file_.value_info()}) {
      for (const auto& info : *list) {
        if (info.has_type() && !info.type().has_tensor_type()) *kept.add_value_info() = info;
      }
    }
    for (const auto& input : file_.input()) {  // before IR 4 that a constant is an input too meant nothing
      const Value* value =
          graph_.find_value(input.name()).valid() ? &graph_.value(graph_.find_value(input.name())) : nullptr;
      if (model_.ir_version() >= 4 && value != nullptr && value->is_constant()) *kept.add_input() = input;
    }
    if (kept.ByteSizeLong() > 0) graph_.info.opaque_sections.push_back(fragment.SerializeAsString());
  }

  const wire::ModelProto& model_;
  const wire::GraphProto& file_;
  const FileParts& parts_;
  TensorDecoder& tensors_;
  Graph graph_;
};

}  // namespace

Graph import_model(const wire::ModelProto& model, const FileParts& parts, TensorDecoder& tensors,
                   const std::filesystem::path& path) {
  return ModelImporter(model, parts, tensors).run(path.string());
}

}  // namespace amct::onnx_file
