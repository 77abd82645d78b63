#include "passes/quantize/qdq_places.h"

#include <algorithm>
#include <limits>
#include <set>

#include "ops/op_row.h"
#include "passes/quantize/plan_layers.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Placer {
 public:
  Placer(const Graph& graph, const Plan& plan, const QdqTarget& target)
      : graph_(graph), target_(target), order_(graph.topological_order()), position_(graph.node_slots()) {
    for (size_t i = 0; i < order_.size(); ++i) position_[order_[i].index] = i;
    for (const LayerPlan& layer : plan.layers) {
      if (has_own_pair(layer)) own_.insert(layer.name);
      if (!layer.quantize || layer.hidden || has_own_pair(layer)) continue;  // recurrent ones: see apply_recurrent.h
      quantized_.insert(layer.name);
      if (!layer.activation.asymmetric) symmetric_.insert(layer.tensor);
      if (layer.second) symmetric_.insert(layer.second_tensor);
      if (layer.second) products_.insert(layer.name);
    }
    for (const TensorPlan& tensor : plan.tensors) {
      if (tensor.uses.empty()) continue;
      chosen_.push_back(tensor.tensor);
      if (!tensor.activation.asymmetric) symmetric_.insert(tensor.tensor);
    }
  }

  std::vector<QdqPlace> run() {
    for (const NodeId id : order_) {
      if (quantized_.contains(graph_.node(id).name)) want_layer(id);
    }
    for (const std::string& tensor : chosen_) want(graph_.find_value(tensor));
    for (const NodeId id : order_) {
      if (own_.contains(graph_.node(id).name)) want_beside_pool(graph_.node(id).input(0));
    }
    for (size_t before = 0; before != wanted_.size();) {  // operators between quantized ones, until nothing changes
      before = wanted_.size();
      for (const NodeId id : order_) want_both_sides(id);
      for (auto at = order_.rbegin(); at != order_.rend(); ++at)
        want_both_sides(*at);  // else a chain takes a round each
    }
    std::vector<QdqPlace> places;
    const auto place = [&](ValueId value) {
      if (wanted_.contains(value)) places.push_back({value, source_of(value), absorbed_by(value)});
    };
    for (const ValueId input : graph_.inputs()) place(input);
    for (const NodeId id : order_) {
      for (const ValueId output : graph_.node(id).outputs) {
        if (output.valid()) place(output);
      }
    }
    return places;
  }

 private:
  bool is_float_activation(ValueId id) const {
    if (!id.valid()) return false;
    const Value& value = graph_.value(id);
    const DType dtype = value.type.dtype;
    return !value.is_constant() && (dtype == DType::kFloat32 || dtype == DType::kFloat16 || dtype == DType::kUndefined);
  }

  // The data that an operator without arithmetic hands on: its input 0.
  ValueId passed_on(ValueId id) const {
    const Node* producer = graph_.producer(id);
    if (producer == nullptr || producer->is_opaque()) return kNoValue;
    const bool passes = producer->row->quant.kind() == QuantRule::Kind::kPassThrough || is_zero_pad(graph_, *producer);
    return passes && is_float_activation(producer->input(0)) ? producer->input(0) : kNoValue;
  }

  ValueId source_of(ValueId id) const {
    while (passed_on(id).valid()) id = passed_on(id);
    return id;
  }

  void want(ValueId id) {
    for (; is_float_activation(id) && wanted_.insert(id).second; id = passed_on(id)) {
    }
  }

  // ONNX Runtime (1.31) moves a quantizer that alone reads a MaxPool, or what a Reshape makes of it, before the pool,
  // and then finds none for 4 bits: an 8-bit quantizer beside it stops that.
  void want_beside_pool(ValueId id) {
    for (ValueId from = id; from.valid(); from = passed_on(from)) {
      const Node* producer = graph_.producer(from);
      if (producer != nullptr && producer->op == "max_pool") return want(id);
    }
  }

  // The quantizer of a result stands behind the operator that it may absorb.
  void want_result(ValueId id) {
    const Use* use = graph_.sole_use(id);
    const bool may_absorb = use != nullptr && contains(target_.absorbed, graph_.node(use->node).op) &&
                            range_of(graph_.node(use->node)).has_value();
    if (!may_absorb) return want(id);
    const ValueId result = graph_.node(use->node).output();
    if (symmetric_.contains(graph_.value(result).name))
      want(id);  // its range holds negative values: the operator stays
    want(result);
  }

  void want_layer(NodeId id) {
    const Node& node = graph_.node(id);
    want(node.input(0));
    if (products_.contains(node.name)) want(node.input(1));
    const NodeId add = bias_add_of(graph_, id);
    if (!contains(target_.float_output, node.op)) want_result(graph_.node(add.valid() ? add : id).output());
  }

  void want_both_sides(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.is_opaque() || !contains(target_.quantized_both_sides, node.op)) return;
    if (!std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return is_float_activation(v); })) return;
    const bool touches =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return wanted_.contains(v); });
    if (!touches && !wanted_.contains(node.output())) return;
    const ValueId added = target_.adds_in_layer && node.op == "add" ? added_in_layer(node) : kNoValue;
    for (const ValueId input : node.inputs) {
      if (input != added) want(input);
    }
    if (!target_.adds_in_layer) want_result(node.output());
  }

  // The addend that a layer gives to the sum alone; of several that of the last layer, before which the others are
  // there.
  ValueId added_in_layer(const Node& add) const {
    ValueId added = kNoValue;
    size_t last = 0;
    for (const ValueId input : add.inputs) {
      const Node* producer = graph_.producer(input);
      if (producer == nullptr || !quantized_.contains(producer->name) || graph_.sole_use(input) == nullptr) continue;
      const size_t position = position_[graph_.value(input).producer.index];
      if (added.valid() && position < last) continue;
      added = input;
      last = position;
    }
    return added;
  }

  // The range of an operator that may vanish; nullopt if it is not constant.
  std::optional<AbsorbedRange> range_of(const Node& node) const {
    const NodeId id = graph_.value(node.output()).producer;
    AbsorbedRange range{id, 0, std::numeric_limits<float>::infinity()};
    if (node.op == "relu") return range;
    const auto [low, high] = clip_bounds(graph_, node);
    if (!low || !high || *low > 0 || *high < 0) return std::nullopt;
    return AbsorbedRange{id, static_cast<float>(*low), static_cast<float>(*high)};
  }

  std::optional<AbsorbedRange> absorbed_by(ValueId id) const {
    const Node* producer = graph_.producer(id);
    if (producer == nullptr || producer->is_opaque() || !contains(target_.absorbed, producer->op)) return std::nullopt;
    const ValueId before = producer->input(0);
    return graph_.sole_use(before) != nullptr ? range_of(*producer) : std::nullopt;
  }

  const Graph& graph_;
  const QdqTarget& target_;
  std::unordered_set<std::string> quantized_;  // layers
  std::unordered_set<std::string> own_;        // layers with a pair of their own
  std::unordered_set<std::string> symmetric_;  // tensors
  std::unordered_set<std::string> products_;   // layers that multiply two activations
  std::vector<std::string> chosen_;            // tensors that the plan quantizes in every form
  std::vector<NodeId> order_;
  std::vector<size_t> position_;  // in order_, by index of the node
  std::set<ValueId> wanted_;
};

}  // namespace

bool has_own_pair(const LayerPlan& layer) { return layer.quantize && !layer.hidden && layer.activation.bits == 4; }

std::vector<QdqPlace> qdq_places(const Graph& graph, const Plan& plan, const QdqTarget& target) {
  return Placer(graph, plan, target).run();
}

FactorTensors::FactorTensors(const Graph& graph, const Plan& plan, const std::vector<QdqPlace>& places)
    : graph_(graph) {
  for (const LayerPlan& layer : plan.layers) {
    if (layer.quantize && !has_own_pair(layer)) layer_inputs_.insert(layer.tensor);
    if (layer.quantize && layer.second) layer_inputs_.insert(layer.second_tensor);
  }
  for (const TensorPlan& tensor : plan.tensors) {
    if (!tensor.uses.empty()) layer_inputs_.insert(tensor.tensor);
  }
  for (const QdqPlace& place : places) {
    if (is_layer_input(graph.value(place.value).name)) layer_input_of_.try_emplace(place.source, place.value);
  }
}

const std::string& FactorTensors::of(ValueId source) const {
  const std::string& own = graph_.value(source).name;
  if (is_layer_input(own)) return own;
  const auto at = layer_input_of_.find(source);
  return at != layer_input_of_.end() ? graph_.value(at->second).name : own;
}

std::vector<std::string> tensors_to_calibrate(const Graph& graph, const Plan& plan,
                                              const std::vector<QdqTarget>& targets) {
  std::vector<std::string> tensors;
  std::unordered_set<std::string> known;
  for (const QdqTarget& target : targets) {
    const auto places = qdq_places(graph, plan, target);
    const FactorTensors factors(graph, plan, places);
    for (const QdqPlace& place : places) {
      const std::string& name = factors.of(place.source);
      if (!factors.is_layer_input(name) && known.insert(name).second) tensors.push_back(name);
    }
  }
  return tensors;
}

}  // namespace amct
