#include "workflow/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "kernels/index/reorder_layout.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/program_ends.h"
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

std::vector<Match> match_layers(const Graph& original, const Graph& compressed, const ProgramEnds& ends) {
  std::vector<Match> matches;
  for (const NodeId id : original.topological_order()) {
    const Node& node = original.node(id);
    if (!node.output().valid() || !is_floating(original.value(node.output()).type.dtype)) continue;
    if (ends.before(node.output()).valid()) continue;
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
ValueId logits_of(const Graph& graph, ValueId output) {
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

// The outputs; in place of those that programs do not reach what goes into the nodes where they end.
std::vector<Match> match_ends(const Graph& original, const Graph& compressed, const ProgramEnds& ends) {
  std::vector<Match> matches;
  for (size_t i = 0; i < original.outputs().size(); ++i) {
    const ValueId output = original.outputs()[i];
    if (!ends.before(output).valid()) {
      matches.push_back({original.value(output).name, "output", output, compressed.outputs()[i]});
    }
  }
  if (matches.size() == original.outputs().size()) return matches;
  for (const NodeId id : ends.nodes()) {
    const Node& end = original.node(id);
    const NodeId same = compressed.find_node(end.name);
    for (size_t port = 0; same.valid() && port < end.inputs.size(); ++port) {
      const ValueId input = end.input(port);
      if (!input.valid() || original.value(input).is_constant() || !is_floating(original.value(input).type.dtype))
        continue;
      matches.push_back(
          {original.value(input).name, "before " + foreign_type(end), input, compressed.node(same).input(port)});
    }
  }
  if (!matches.empty()) return matches;
  throw Error(ErrorCode::kUnsupported,
              "no output can be computed: " + reason_of_end(original, ends.before(original.outputs().at(0))),
              {.model = original.info.path}, "'amct inspect' lists the operators of the model");
}

// Adds one run's values of a pair, in one order.
void add_views(const SampleRun& run, const Match& match, const TensorView& a, const TensorView& b,
               Agreement& agreement) {
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

Tensor in_plain_order(const TensorView& view, Layout layout) {
  if (layout == Layout::kPlain || view.dims.size() < 3) return Tensor::copy_of(view);
  Dims dims = view.dims;
  std::rotate(dims.begin() + 1, dims.end() - 1, dims.end());  // (N, spatial…, C) -> (N, C, spatial…)
  Tensor plain = Tensor::allocate(view.dtype, dims);
  const int64_t positions = element_count({dims.begin() + 2, dims.end()});
  channels_last_to_first(view.data, plain.mutable_view().data, {dims[0], dims[1], positions},
                         element_bytes(view.dtype));
  return plain;
}

using Programs = std::vector<std::shared_ptr<const Program>>;  // of the original and the compressed graph

// Compares pairs of values while both networks run in turn: a value is kept until its counterpart arises, so that
// memory does not grow with the depth of the networks.
class LayerComparer {
 public:
  LayerComparer(const std::vector<Match>& matches, const Programs& programs, size_t samples, int workers)
      : matches_(matches),
        programs_(programs),
        agreements_(matches.size(), Agreement(samples)),
        held_(static_cast<size_t>(workers)) {
    for (size_t i = 0; i < matches.size(); ++i) {
      index_[0][matches[i].original].push_back(i);
      index_[1][matches[i].compressed].push_back(i);
    }
  }

  void observe(const SampleRun& run, size_t program, ValueId id, const TensorView& view) {
    auto& held = held_[run.worker];
    const Layout layout = programs_[program]->observed_layout(id);
    Tensor copy;
    for (const size_t i : index_[program].at(id)) {
      const auto other = held.find(i);
      if (other == held.end()) {
        if (!copy) copy = Tensor::copy_of(view);
        held.emplace(i, Held{copy, layout});
      } else {
        add_pair(run, i, program, view, layout, other->second);
        held.erase(other);
      }
    }
  }

  const std::vector<Agreement>& agreements() const { return agreements_; }

 private:
  // A value that waits, in its own order.
  struct Held {
    Tensor value;
    Layout layout;
  };

  // A value of `program` and the one of the other program.
  void add_pair(const SampleRun& run, size_t match, size_t program, const TensorView& view, Layout layout,
                const Held& held) {
    const bool alike = held.layout == layout && held.value.dims() == view.dims;
    const Tensor mine = alike ? Tensor() : in_plain_order(view, layout);
    const Tensor other = alike ? held.value : in_plain_order(held.value.view(), held.layout);
    const TensorView views[] = {alike ? view : mine.view(), other.view()};
    add_views(run, matches_[match], views[program], views[1 - program], agreements_[match]);
  }

  const std::vector<Match>& matches_;
  const Programs& programs_;
  std::array<std::unordered_map<ValueId, std::vector<size_t>>, 2> index_;  // matches by value
  std::vector<Agreement> agreements_;
  std::vector<std::unordered_map<size_t, Held>> held_;  // by worker, by match
};

// Runs both graphs on samples and compares pairs of values; the first pair as the scores of a classifier if its op is
// "logits".
struct Comparer {
  std::shared_ptr<const Graph> original, compressed;
  const DataSource& source;

  // Values that stay to the end of a run: outputs.
  std::vector<Agreement> compare_outputs(const std::vector<Match>& matches, size_t samples, int workers) const {
    const Programs programs = compile(matches, &CompileOptions::keep);
    std::vector<Agreement> agreements(matches.size(), Agreement(samples));
    run_samples(programs, source, {.workers = workers, .samples = static_cast<int64_t>(samples), .label = "comparing"},
                {}, [&](const SampleRun& run) {
                  for (size_t i = 0; i < matches.size(); ++i) {
                    add_views(run, matches[i], run.runners[0]->value(matches[i].original),
                              run.runners[1]->value(matches[i].compressed), agreements[i]);
                  }
                });
    return agreements;
  }

  std::vector<Agreement> compare_layers(const std::vector<Match>& matches, size_t samples, int workers) const {
    const Programs programs = compile(matches, &CompileOptions::observe);
    LayerComparer comparer(matches, programs, samples, workers);
    run_samples(programs, source,
                {.workers = workers, .samples = static_cast<int64_t>(samples), .label = "comparing", .in_turn = true},
                [&](const SampleRun& run, size_t program, ValueId id, const TensorView& view) {
                  comparer.observe(run, program, id, view);
                },
                {});
    return comparer.agreements();
  }

  Programs compile(const std::vector<Match>& matches, std::vector<ValueId> CompileOptions::*wanted) const {
    CompileOptions of_original{.threads = 1}, of_compressed{.threads = 1};
    for (const Match& match : matches) {
      (of_original.*wanted).push_back(match.original);
      (of_compressed.*wanted).push_back(match.compressed);
    }
    return {compile_for_samples(original, source, of_original), compile_for_samples(compressed, source, of_compressed)};
  }
};

ValueComparison summarise(const Match& match, const Agreement& agreement) {
  return {match.name, match.op, agreement.sqnr_db(), agreement.cosine(), agreement.largest_difference()};
}

}  // namespace

Comparison compare(std::shared_ptr<const Graph> original, std::shared_ptr<const Graph> compressed,
                   const DataSource& source, const CompareOptions& options) {
  check_fit(*original, *compressed);
  const auto limit = [](int64_t wanted, size_t there) {
    return wanted > 0 ? std::min(static_cast<size_t>(wanted), there) : there;
  };
  const size_t samples = limit(options.samples, source.size());
  const InferredTypes types = types_for_samples(*original, source);
  const ProgramEnds ends(*original, &types);
  std::vector<Match> outputs = match_ends(*original, *compressed, ends);
  // One score has no others to be compared with.
  const Shape& scores = original->value(outputs[0].original).type.shape;
  const bool single = scores.rank() > 0 && scores[scores.rank() - 1] == Dim(1);
  outputs.insert(outputs.begin(), {"", single ? "output" : "logits", logits_of(*original, outputs[0].original),
                                   logits_of(*compressed, outputs[0].compressed)});
  const Comparer comparer{original, compressed, source};
  Comparison result;
  result.samples = static_cast<int64_t>(samples);
  const std::vector<Agreement> agreements = comparer.compare_outputs(outputs, samples, options.workers);
  result.classes = scores.rank() == 2 && !single;
  result.logit_sqnr_db = agreements[0].sqnr_db();
  result.same_class_percent = agreements[0].same_class_percent();
  for (size_t i = 1; i < outputs.size(); ++i) result.outputs.push_back(summarise(outputs[i], agreements[i]));

  if (!options.layers) return result;
  const std::vector<Match> layers = match_layers(*original, *compressed, ends);
  const std::vector<Agreement> by_layer =
      comparer.compare_layers(layers, limit(options.layer_samples, samples), options.workers);
  for (size_t i = 0; i < layers.size(); ++i) result.layers.push_back(summarise(layers[i], by_layer[i]));
  std::stable_sort(result.layers.begin(), result.layers.end(),
                   [](const ValueComparison& a, const ValueComparison& b) { return a.sqnr_db < b.sqnr_db; });
  return result;
}

}  // namespace amct
