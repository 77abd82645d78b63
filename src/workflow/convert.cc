#include "workflow/convert.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/files.h"
#include "base/suggestion.h"
#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/dmq.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/recurrent_weights.h"
#include "passes/quantize/tensor_inputs.h"
#include "recipe/record_file.h"
#include "workflow/model.h"

namespace amct {
namespace {

class RecordApplier {
 public:
  RecordApplier(const Graph& graph, Plan& plan, std::string file)
      : graph_(graph), plan_(plan), file_(std::move(file)), inputs_(graph, plan) {
    for (LayerPlan& layer : plan.layers) {
      known_.push_back(layer.name);
      layers_.emplace(layer.name, &layer);
    }
  }

  void run(const std::vector<LayerRecord>& records) {
    for (const LayerRecord& record : records) apply(record);
    for (LayerPlan& layer : plan_.layers) {
      if (layer.quantize && !layer.activation.factor) {
        layer.quantize = false;
        layer.reason = "the record does not name it";
      }
    }
    faults_.throw_if_any();
  }

 private:
  void fault(const LayerRecord& record, const std::string& what, const std::string& hint = {}) {
    faults_.add(Error(ErrorCode::kConfig, what, {.node = record.key, .file = file_}, hint));
  }

  void apply(const LayerRecord& record) {
    const auto at = layers_.find(record.key);
    LayerPlan* layer = at == layers_.end() ? nullptr : at->second;
    if (layer == nullptr && apply_input(record)) return;
    if (layer == nullptr) {
      return fault(record, fmt::format("the model has no layer '{}'", record.key),
                   suggestion(record.key, known_, "'amct inspect' lists the layers"));
    }
    if (!layer->quantize) return fault(record, "this layer cannot be quantized: " + layer->reason);
    if (!record.scale_d && !record.kv_scale.empty()) {
      return fault(record, "the record holds factors of a KV cache alone, which no graph takes", "take it out");
    }
    if (!record.scale_d) return fault(record, "the record has no scale_d");
    if (std::ranges::any_of(record.shift_bit, [](uint32_t shift) { return shift != 0; })) {
      if (!layer->weight) return fault(record, "shift_bit is for layers with a weight");
      layer->shifts.assign(record.shift_bit.begin(), record.shift_bit.end());
    }
    const bool shifts = layer->activation.asymmetric;
    const std::string& type = record.dst_type.empty() ? record.act_type : record.dst_type;
    layer->activation.bits = bits_of_type(type);
    layer->activation.factor = ScaleOffset{*record.scale_d, record.offset_d.value_or(0)};
    layer->activation.fixed = true;
    if (!shifts && layer->activation.factor->offset != 0) {
      fault(record, fmt::format("offset_d is {}, must be 0: the operator allows no offset", *record.offset_d));
    }
    layer->balance_factors = record.tensor_balance_factor;
    if (layer->second) apply_second(record, *layer);
    if (layer->hidden) {
      apply_recurrent(record, *layer);
    } else if (layer->weight) {
      apply_weight(record, *layer);
    }
  }

  // Weights of recurrent layers: a scale for every row of gates, or for every gate.
  void apply_recurrent(const LayerRecord& record, LayerPlan& layer) {
    if (!record.scale_h) return fault(record, "the record of a recurrent layer has no scale_h");
    if (!record.wts_type.empty() && record.wts_type != "INT8") {
      fault(record, fmt::format("wts_type is {}, must be INT8: it is a recurrent layer", record.wts_type));
    }
    const Node& node = graph_.node(graph_.find_node(layer.name));
    const auto& rule = node.row->quant.compute_rule();
    const int64_t rows = recurrent_weight(graph_, node, rule.recurrent_port).dims()[1];
    const int64_t gates = rows / recurrent_weight(graph_, node, rule.recurrent_port).dims()[2];
    const auto set = [&](const std::vector<float>& scales, const char* name, WeightPlan& weight) {
      const auto count = static_cast<int64_t>(scales.size());
      if (count != rows && count != gates) {
        fault(record, fmt::format("{} values of {}, must be {} (rows) or {} (gates)", count, name, rows, gates));
      }
      weight.per_channel = count == rows;
      weight.scales = scales;
    };
    set(record.scale_w, "scale_w", *layer.weight);
    set(record.scale_r, "scale_r", layer.hidden->weight);
    layer.hidden->activation = layer.activation;
    layer.hidden->activation.factor = ScaleOffset{*record.scale_h, *record.offset_h};
  }

  // The scale of the second activation stands where other layers have the weight's.
  void apply_second(const LayerRecord& record, LayerPlan& layer) {
    if (record.scale_w.size() != 1) {
      return fault(record, fmt::format("{} scale_w, must be 1: the scale of the second input", record.scale_w.size()));
    }
    if (layer.activation.bits != 8) fault(record, "a product of two activations has 8 bits");
    layer.second->factor = ScaleOffset{record.scale_w.front(), 0};
    layer.second->fixed = true;
  }

  // A record of one input, "node:input"; false if its key is none.
  bool apply_input(const LayerRecord& record) {
    const size_t colon = record.key.rfind(':');
    if (colon == std::string::npos) return false;
    const NodeId id = graph_.find_node(record.key.substr(0, colon));
    int64_t port = -1;
    const char* end = record.key.data() + record.key.size();
    const auto [rest, code] = std::from_chars(record.key.data() + colon + 1, end, port);
    if (!id.valid() || code != std::errc() || rest != end) return false;
    if (const std::string reason = reason_against_input(graph_, graph_.node(id), port); !reason.empty()) {
      fault(record, fmt::format("input {} cannot be quantized: {}", port, reason));
      return true;
    }
    if (!record.scale_d) {
      fault(record, "the record has no scale_d");
      return true;
    }
    ActivationPlan activation{.bits = bits_of_type(record.dst_type.empty() ? record.act_type : record.dst_type)};
    activation.factor = ScaleOffset{*record.scale_d, record.offset_d.value_or(0)};
    activation.fixed = true;
    const TensorPlan& tensor = inputs_.add(id, port, activation);
    if (tensor.activation.factor != activation.factor) {
      fault(record, fmt::format("tensor '{}' has another factor in an earlier record", tensor.tensor));
    }
    return true;
  }

  void apply_weight(const LayerRecord& record, LayerPlan& layer) {
    const NodeId id = graph_.find_node(layer.name);
    const int64_t channels = output_channels(graph_, id);
    const auto count = static_cast<int64_t>(record.scale_w.size());
    if (count != 1 && count != channels) {
      fault(record, fmt::format("{} weight scales for {} output channels", count, channels));
    } else if (count > 1 && !takes_scale_per_channel(graph_, id)) {
      fault(record, fmt::format("{} weight scales, must be 1: the result of the product is no matrix", count));
    }
    layer.weight->bits =
        bits_of_type(record.dst_type.empty() || record.dst_type == "INT16" ? record.wts_type : record.dst_type);
    layer.weight->per_channel = count > 1;
    layer.weight->scales = record.scale_w;
    layer.weight->clusters.assign(record.cluster.begin(), record.cluster.end());
    std::ranges::sort(layer.weight->clusters);
    layer.weight->steps = static_cast<int>(record.cluster.size());
  }

  const Graph& graph_;
  Plan& plan_;
  std::string file_;
  InputPlanner inputs_;
  std::vector<std::string> known_;
  std::unordered_map<std::string, LayerPlan*> layers_;
  Faults faults_;
};

// Pairs at the inputs of layers alone.
QdqTarget inputs_only(const std::string& name) {
  QdqTarget target = qdq_target(name);
  target.quantized_both_sides.clear();
  target.absorbed.clear();
  target.float_output = {"conv", "conv_transpose", "gemm", "matmul", "average_pool"};
  return target;
}

}  // namespace

ConvertReport convert(const ConvertRequest& request) {
  const std::vector<LayerRecord> records =
      parse_records(read_text(request.record), request.record.string(), request.convention);
  Graph graph = load_float_model(request.model, "give the float model that the record was made for");
  std::vector<std::string> unfused;
  for (const LayerRecord& record : records) {
    if (record.skip_fusion.value_or(false)) unfused.push_back(record.key);
  }
  const PipelineReport passes = prepare(graph, true, {.skip_layers = unfused});
  Plan plan = plan_layers(graph);
  plan.model = request.model.filename().string();
  plan.correct_bias = false;
  RecordApplier(graph, plan, request.record.string()).run(records);
  apply_balance(graph, plan);
  update_types(graph);
  const Products products = make_products(graph, plan, request.emit, inputs_only(request.qdq_target));
  return report_of(plan, products, write_products(products, plan, folded_nodes(passes), request.out_prefix));
}

ConvertReport report_of(const Plan& plan, const Products& products, std::vector<OutputFile> files) {
  ConvertReport report{.warnings = plan.warnings, .files = std::move(files)};
  report.warnings.insert(report.warnings.end(), products.notes.begin(), products.notes.end());
  for (const LayerPlan& layer : plan.layers) {
    ++report.layers;
    if (layer.quantize) {
      ++report.quantized;
    } else {
      report.kept_float.emplace_back(layer.name, layer.reason);
    }
  }
  return report;
}

}  // namespace amct
