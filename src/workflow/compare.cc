#include "workflow/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "workflow/metrics.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

// A worker that compares layers keeps the outputs of all of them, for both networks: more workers would need more
// memory than calibration does.
constexpr int kLayerWorkers = 2;

struct Match {
  std::string name;
  std::string op;
  ValueId original;
  ValueId compressed;
};

// What leaves the dequantization of a layer, in units of the float network; kNoValue if it has none.
ValueId dequantized_result(const Graph& graph, const std::string& layer) {
  for (const char* suffix : {".dequant", ".fakedequant.mul"}) {
    const NodeId id = graph.find_node(layer + suffix);
    if (id.valid()) return graph.node(id).output();
  }
  return kNoValue;
}

// The value of the original that a dequantized one stands for: the layer's, or that of the addition of its bias where
// the quantized graph dequantizes behind that.
ValueId counterpart(const Graph& original, const Node& layer, const Graph& compressed, ValueId dequantized) {
  const Node* before = compressed.producer(compressed.producer(dequantized)->inputs[0]);
  if (before != nullptr && before->name != layer.name) {
    const NodeId addition = original.find_node(before->name);
    if (addition.valid() && original.node(addition).op == "add") return original.node(addition).output();
  }
  return layer.output();
}

// True for the addition of a bias in front of a dequantization: its sums are in units of the integers.
bool is_before_dequantization(const Graph& graph, NodeId id) {
  const Use* use = graph.sole_use(graph.node(id).output());
  if (use == nullptr) return false;
  const std::string& reader = graph.node(use->node).name;
  return reader.ends_with(".dequant") || reader.ends_with(".fakedequant.mul");
}

std::vector<Match> match_layers(const Graph& original, const Graph& compressed) {
  std::vector<Match> matches;
  for (const NodeId id : original.topological_order()) {
    const Node& node = original.node(id);
    if (!node.output().valid() || !is_floating(original.value(node.output()).type.dtype)) continue;
    ValueId result = dequantized_result(compressed, node.name);
    ValueId reference = node.output();
    if (const ValueId quantized = dequantized_result(original, node.name); quantized.valid()) {
      reference = quantized;  // the original is a quantized graph itself: simulation against deploy
    } else if (result.valid()) {
      reference = counterpart(original, node, compressed, result);
    }
    if (!result.valid()) {
      const NodeId same = compressed.find_node(node.name);
      if (same.valid() && !is_before_dequantization(compressed, same)) result = compressed.node(same).output();
    }
    if (!result.valid() || !is_floating(compressed.value(result).type.dtype)) continue;
    matches.push_back({node.name, node.op, reference, result});
  }
  return matches;
}

// The scores before a final softmax, or the output itself.
ValueId logits_of(const Graph& graph) {
  const ValueId output = graph.outputs().at(0);
  const Node* producer = graph.producer(output);
  return producer != nullptr && producer->op == "softmax" ? producer->inputs[0] : output;
}

void check_fit(const Graph& original, const Graph& compressed) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::kInput, what, {.model = compressed.info.path},
                fmt::format("compare models that were made from one another; the other is {}", original.info.path));
  };
  if (original.inputs().size() != compressed.inputs().size()) refuse("the models have different numbers of inputs");
  if (original.outputs().size() != compressed.outputs().size()) refuse("the models have different numbers of outputs");
  for (size_t i = 0; i < original.inputs().size(); ++i) {
    const Value& a = original.value(original.inputs()[i]);
    const Value& b = compressed.value(compressed.inputs()[i]);
    if (a.type.dtype != b.type.dtype) refuse(fmt::format("input '{}' has another type", b.name));
  }
}

// Runs both graphs on samples and compares pairs of values; the first pair as the scores of a classifier if its op is
// "logits".
struct Comparer {
  std::shared_ptr<const Graph> original, compressed;
  const DataSource& source;

  std::vector<Agreement> run(const std::vector<Match>& matches, size_t samples, int workers) const {
    CompileOptions keep_original{.threads = 1};
    CompileOptions keep_compressed{.threads = 1};
    for (const Match& match : matches) {
      keep_original.keep.push_back(match.original);
      keep_compressed.keep.push_back(match.compressed);
    }
    const std::vector programs{compile_for_samples(original, source, keep_original),
                               compile_for_samples(compressed, source, keep_compressed)};
    std::vector<Agreement> agreements(matches.size(), Agreement(samples));
    run_samples(programs, source, {.workers = workers, .samples = static_cast<int64_t>(samples), .label = "comparing"},
                {}, [&](const SampleRun& run) {
                  for (size_t i = 0; i < matches.size(); ++i) add(run, matches[i], agreements[i]);
                });
    return agreements;
  }

  static void add(const SampleRun& run, const Match& match, Agreement& agreement) {
    const TensorView a = run.runners[0]->value(match.original);
    const TensorView b = run.runners[1]->value(match.compressed);
    if (a.dims != b.dims) {
      throw Error(ErrorCode::kInput, fmt::format("'{}' has extents {} in one model and {} in the other", match.name,
                                                 to_string(a.dims), to_string(b.dims)));
    }
    std::vector<float> storage_a;
    std::vector<float> storage_b;
    for (size_t row = 0; row < run.valid; ++row) {
      const auto row_a = row_of(a, row, run.rows, storage_a);
      const auto row_b = row_of(b, row, run.rows, storage_b);
      if (match.op == "logits") {
        agreement.add_logits(run.first_sample + row, row_a, row_b);
      } else {
        agreement.add(run.first_sample + row, row_a, row_b);
      }
    }
  }
};

ValueComparison summarise(const Match& match, const Agreement& agreement) {
  return {match.name, match.op, agreement.sqnr_db(), agreement.cosine(), agreement.largest_difference()};
}

}  // namespace

bool is_quantized(const Graph& graph) {
  const std::vector<NodeId> nodes = graph.nodes();
  return std::any_of(nodes.begin(), nodes.end(), [&](NodeId id) {
    const Node& node = graph.node(id);
    return node.op == "ascend_quant" || node.op == "quantize_linear" || node.op == "dequantize_linear" ||
           node.name.find(".fakequant.") != std::string::npos || node.name.find(".fakedequant.") != std::string::npos;
  });
}

Comparison compare(std::shared_ptr<const Graph> original, std::shared_ptr<const Graph> compressed,
                   const DataSource& source, const CompareOptions& options) {
  check_fit(*original, *compressed);
  const auto limit = [](int64_t wanted, size_t there) {
    return wanted > 0 ? std::min(static_cast<size_t>(wanted), there) : there;
  };
  const size_t samples = limit(options.samples, source.size());
  std::vector<Match> outputs{{"", "logits", logits_of(*original), logits_of(*compressed)}};
  for (size_t i = 0; i < original->outputs().size(); ++i) {
    const ValueId output = original->outputs()[i];
    outputs.push_back({original->value(output).name, "output", output, compressed->outputs()[i]});
  }
  const Comparer comparer{original, compressed, source};
  Comparison result;
  result.samples = static_cast<int64_t>(samples);
  const std::vector<Agreement> agreements = comparer.run(outputs, samples, options.workers);
  result.classes = original->value(original->outputs().at(0)).type.shape.rank() == 2;
  result.logit_sqnr_db = agreements[0].sqnr_db();
  result.same_class_percent = agreements[0].same_class_percent();
  for (size_t i = 1; i < outputs.size(); ++i) result.outputs.push_back(summarise(outputs[i], agreements[i]));

  if (!options.layers) return result;
  const std::vector<Match> layers = match_layers(*original, *compressed);
  const std::vector<Agreement> by_layer =
      comparer.run(layers, limit(options.layer_samples, samples), std::min(options.workers, kLayerWorkers));
  for (size_t i = 0; i < layers.size(); ++i) result.layers.push_back(summarise(layers[i], by_layer[i]));
  std::stable_sort(result.layers.begin(), result.layers.end(),
                   [](const ValueComparison& a, const ValueComparison& b) { return a.sqnr_db < b.sqnr_db; });
  return result;
}

}  // namespace amct
