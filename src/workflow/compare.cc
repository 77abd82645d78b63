#include "workflow/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "workflow/metrics.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

struct Match {
  std::string name;
  std::string op;
  ValueId original;
  ValueId compressed;
};

// What a layer computes, in units of the float network: behind its dequantization if it has one.
ValueId layer_result(const Graph& graph, const std::string& layer) {
  for (const char* suffix : {".dequant", ".fakedequant.mul", ""}) {
    const NodeId id = graph.find_node(layer + suffix);
    if (id.valid()) return graph.node(id).output();
  }
  return kNoValue;
}

// The layer's node, or the addition of its bias where the quantized graph dequantizes behind that.
ValueId original_result(const Graph& original, NodeId layer, const Graph& compressed, ValueId result) {
  const Node* dequant = compressed.producer(result);
  const Node* before =
      dequant != nullptr && !dequant->inputs.empty() ? compressed.producer(dequant->inputs[0]) : nullptr;
  if (before != nullptr && before->name != original.node(layer).name) {
    const NodeId addition = original.find_node(before->name);
    if (addition.valid() && original.node(addition).op == "add") return original.node(addition).output();
  }
  return original.node(layer).output();
}

std::vector<Match> match_layers(const Graph& original, const Graph& compressed) {
  std::vector<Match> matches;
  for (const NodeId id : original.topological_order()) {
    const Node& node = original.node(id);
    if (!node.output().valid() || !is_floating(original.value(node.output()).type.dtype)) continue;
    const ValueId result = layer_result(compressed, node.name);
    if (!result.valid() || !is_floating(compressed.value(result).type.dtype)) continue;
    matches.push_back({node.name, node.op, original_result(original, id, compressed, result), result});
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
                   const DataSource& source, int64_t samples, int workers) {
  check_fit(*original, *compressed);
  const auto count = static_cast<size_t>(samples > 0 ? std::min<int64_t>(samples, static_cast<int64_t>(source.size()))
                                                     : static_cast<int64_t>(source.size()));
  std::vector<Match> matches = match_layers(*original, *compressed);
  for (size_t i = 0; i < original->outputs().size(); ++i) {
    const ValueId output = original->outputs()[i];
    matches.push_back({original->value(output).name, "output", output, compressed->outputs()[i]});
  }
  const Match logits{"", "", logits_of(*original), logits_of(*compressed)};

  CompileOptions keep_original{.threads = 1, .keep = {logits.original}};
  CompileOptions keep_compressed{.threads = 1, .keep = {logits.compressed}};
  for (const Match& match : matches) {
    keep_original.keep.push_back(match.original);
    keep_compressed.keep.push_back(match.compressed);
  }
  const auto program_a = compile_for_samples(original, source, keep_original);
  const auto program_b = compile_for_samples(compressed, source, keep_compressed);

  std::vector<Agreement> agreements(matches.size(), Agreement(count));
  Agreement scores(count);
  const auto add = [&](const SampleRun& run, const Match& match, Agreement& agreement, bool as_logits) {
    const TensorView a = run.runners[0]->value(match.original);
    const TensorView b = run.runners[1]->value(match.compressed);
    if (a.dims != b.dims) return;
    for (size_t row = 0; row < run.valid; ++row) {
      const std::vector<float> row_a = row_of(a, row, run.rows);
      const std::vector<float> row_b = row_of(b, row, run.rows);
      if (as_logits) {
        agreement.add_logits(run.first_sample + row, row_a, row_b);
      } else {
        agreement.add(run.first_sample + row, row_a, row_b);
      }
    }
  };
  run_samples({program_a, program_b}, source,
              {.workers = workers, .samples = static_cast<int64_t>(count), .label = "comparing"}, {},
              [&](const SampleRun& run) {
                for (size_t i = 0; i < matches.size(); ++i) add(run, matches[i], agreements[i], false);
                add(run, logits, scores, true);
              });

  Comparison result;
  result.samples = static_cast<int64_t>(count);
  result.logit_sqnr_db = scores.sqnr_db();
  result.same_class_percent = scores.same_class_percent();
  for (size_t i = 0; i < matches.size(); ++i) {
    const ValueComparison value{matches[i].name, matches[i].op, agreements[i].sqnr_db(), agreements[i].cosine(),
                                agreements[i].largest_difference()};
    (matches[i].op == "output" ? result.outputs : result.layers).push_back(value);
  }
  std::stable_sort(result.layers.begin(), result.layers.end(),
                   [](const ValueComparison& a, const ValueComparison& b) { return a.sqnr_db < b.sqnr_db; });
  return result;
}

}  // namespace amct
