// From a deploy operator to its simulation (apply_recurrent.h).
#include <span>

#include "base/error.h"
#include "ops/ascend_recurrent.h"
#include "ops/op_row.h"
#include "ops/recurrent.h"
#include "ops/subgraph.h"
#include "passes/quantize/apply_recurrent.h"
#include "passes/quantize/fake_quant_chain.h"

namespace amct {
namespace {

using namespace recurrent;

class Simulation {
 public:
  Simulation(Graph& graph, NodeId id)
      : graph_(graph),
        node_(graph.node(id)),
        id_(id),
        lstm_(node_.op == "ascend_lstm"),
        ports_(ascend_recurrent_ports(lstm_ ? RecurrentCell::kLstm : RecurrentCell::kGru)),
        of_x_(chain("x")),
        of_h_(chain("h")) {
    const ValueId y = node_.output(kY);
    const Shape shape = y.valid() ? graph.value(y).type.shape : Shape();
    if (shape.rank() != 4) return;
    steps_ = shape[0];
    batch_ = shape[2];
  }

  void run() {
    read_constants();
    const ValueId x = add_fake_quant_chain(graph_, node_.name + ".quant.fakequant.", node_.input(ports_.x), of_x_);
    const bool one_step = steps_.is_fixed() && steps_.extent() == 1;
    if (lstm_) {
      const ValueId floats = anti_quantized(graph_, node_.name + ".anti_quant", x, of_x_);
      one_step ? as_layer(floats) : as_scan(floats);
    } else {
      const ValueId sums = product(graph_, ".from_x", x, w_, 0);
      one_step && !node_.input(ports_.lengths).valid() ? as_gates(sums) : as_scan(sums);
    }
    for (const size_t port : {ports_.w, ports_.r, ports_.b, ports_.deq_scale}) {
      const ValueId value = node_.input(port);
      if (value.valid() && graph_.value(value).uses.empty() && !graph_.is_output(value)) graph_.erase_value(value);
    }
  }

 private:
  FakeQuantChain chain(const std::string& suffix) const {
    return {.inverse_scale = static_cast<float>(attr_float(node_, "quant_scale_" + suffix)),
            .offset = static_cast<float>(attr_float(node_, "quant_offset_" + suffix)),
            .bits = attr_int(node_, "quant_dtype") == kAscendInt16 ? 16 : 8};
  }

  static float scale_of(const FakeQuantChain& chain) { return 1.0f / chain.inverse_scale; }

  static ValueId anti_quantized(Graph& graph, const std::string& name, ValueId x, const FakeQuantChain& chain) {
    const std::string base = name + ".fakeantiquant.";
    const ValueId scale = graph.add_constant(base + "scale", Tensor::scalar<float>(scale_of(chain)));
    return graph.node(add_op(graph, base + "mul", "mul", {x, scale}, {}, base + "mul.output0")).output();
  }

  const Tensor& constant(size_t port) const {
    const Tensor* tensor = graph_.constant(node_.input(port));
    if (tensor == nullptr) {
      throw Error(ErrorCode::kUnsupported, "its integers are computed, not constant",
                  {.model = graph_.info.path, .node = node_.name, .op = node_.op});
    }
    return *tensor;
  }

  // Integers times the factor of their row; that of a weight is the sums' factor without the activation's scale.
  static Tensor floats_of(const Tensor& integers, const std::vector<float>& factors, size_t first, int64_t rows) {
    const std::vector<double> values = integers.to_doubles();
    const int64_t depth = integers.size() / rows;
    std::vector<float> result;
    for (size_t i = 0; i < values.size(); ++i) {
      result.push_back(static_cast<float>(values[i]) * factors[first + i / static_cast<size_t>(depth)]);
    }
    return Tensor::of<float>(integers.dims(), result);
  }

  void read_constants() {
    const Tensor& w = constant(ports_.w);
    const Tensor& r = constant(ports_.r);
    const int64_t rows = w.dims()[1];
    hidden_ = r.dims()[2];
    const Tensor zeros = Tensor::of<int32_t>({1, 2 * rows}, std::vector<int32_t>(static_cast<size_t>(2 * rows)));
    const Tensor& bias = node_.input(ports_.b).valid() ? constant(ports_.b) : zeros;
    factors_ = ascend_recurrent_factors(constant(ports_.deq_scale).view(), rows);
    if (!lstm_) {
      w_ = columns_of(w);
      r_ = columns_of(r);
      b_ = bias.cast(DType::kFloat32);
      return;
    }
    std::vector<float> weights;
    for (const float factor : factors_) {
      weights.push_back(factor / scale_of(static_cast<int64_t>(weights.size()) < rows ? of_x_ : of_h_));
    }
    w_ = floats_of(w, weights, 0, rows);
    r_ = floats_of(r, weights, static_cast<size_t>(rows), rows);
    b_ = floats_of(bias, factors_, 0, 2 * rows);
  }

  // (1, rows, depth) integers as a float matrix (depth, rows).
  static Tensor columns_of(const Tensor& weight) {
    const int64_t rows = weight.dims()[1], depth = weight.dims()[2];
    const auto from = weight.values<int8_t>();
    Tensor result = Tensor::allocate(DType::kFloat32, {depth, rows});
    const auto to = result.mutable_values<float>();
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < depth; ++k) to[k * rows + row] = from[row * depth + k];
    }
    return result;
  }

  // What enters the gates of a GRU from quantized values, in integers up to the factor. `half`: 0 of x, 1 of the state.
  ValueId product(Graph& graph, const std::string& name, ValueId x, const Tensor& weight, size_t half) const {
    const std::string base = node_.name + name;
    const int64_t rows = weight.dims()[1];
    const auto part = [&](std::span<const float> values) {
      const size_t first = half * static_cast<size_t>(rows);
      return Tensor::of<float>({rows}, std::vector<float>(values.begin() + first, values.begin() + first + rows));
    };
    x = add(graph, base + ".matmul", "matmul", {x, graph.add_constant(base + ".weight", weight)});
    x = add(graph, base + ".add", "add", {x, graph.add_constant(base + ".bias", part(b_.values<float>()))});
    return add(graph, base + ".fakedequant", "mul",
               {x, graph.add_constant(base + ".fakedequant.dqscale", part(factors_))});
  }

  // The state behind a step of a GRU. A GRU node would mix the state in as it was quantized, but it is the products
  // alone that the deploy operator quantizes it for.
  ValueId gates(Graph& graph, ValueId from_x, ValueId h) const {
    const std::string base = node_.name + ".gate.";
    const ValueId q = add_fake_quant_chain(graph, node_.name + ".quant_h.fakequant.", h, of_h_);
    const ValueId sizes = ints(graph, base + "sizes", {hidden_, hidden_, hidden_});
    const auto parts = [&](const std::string& name, ValueId value) {
      const NodeId split =
          graph.add_node(base + name, "split", &op_table().get("split"), {value, sizes},
                         {base + name + "z", base + name + "r", base + name + "n"}, {{"axis", int64_t{2}}});
      return graph.node(split).outputs;
    };
    const std::vector<ValueId> x = parts("x", from_x), r = parts("h", product(graph, ".from_h", q, r_, 1));
    const auto op = [&](const std::string& name, const char* type, std::vector<ValueId> inputs) {
      return add(graph, base + name, type, std::move(inputs));
    };
    const ValueId update = op("z", "sigmoid", {op("z_sum", "add", {x[0], r[0]})});
    const ValueId reset = op("r", "sigmoid", {op("r_sum", "add", {x[1], r[1]})});
    const ValueId fresh = op("n", "tanh", {op("n_sum", "add", {x[2], op("n_reset", "mul", {reset, r[2]})})});
    const ValueId one = graph.add_constant(base + "one", Tensor::scalar<float>(1));
    const ValueId taken = op("n_part", "mul", {op("not_z", "sub", {one, update}), fresh});
    return op("h", "add", {taken, op("h_part", "mul", {update, h})});
  }

  // A GRU of one step.
  void as_gates(ValueId from_x) {
    const ValueId h = gates(graph_, from_x, node_.input(ports_.initial_h));
    replace(kYh, h);
    const ValueId axes = ints(graph_, node_.name + ".axes", {0});
    const ValueId y = add(graph_, node_.name + ".result", "unsqueeze", {h, axes});
    replace(kY, y);
    graph_.set_inputs(id_, {});
    graph_.erase_node(id_);
    graph_.rename_node(graph_.value(y).producer, node_.name);  // reports look for a layer's result there
  }

  // The inputs of the float LSTM within `graph`.
  std::vector<ValueId> layer_inputs(Graph& graph, ValueId x, ValueId lengths, ValueId h, ValueId c) const {
    std::vector<ValueId> inputs{x,
                                graph.add_constant(node_.name + ".weight", w_),
                                graph.add_constant(node_.name + ".recurrence_weight", r_),
                                graph.add_constant(node_.name + ".bias", b_),
                                lengths,
                                h};
    inputs.push_back(c);
    return inputs;
  }
  ValueId initial_c() const { return lstm_ ? node_.input(ports_.initial_c) : kNoValue; }

  ValueId quantized_state(Graph& graph, ValueId h) const {
    const ValueId q = add_fake_quant_chain(graph, node_.name + ".quant_h.fakequant.", h, of_h_);
    return anti_quantized(graph, node_.name + ".anti_quant_h", q, of_h_);
  }

  void as_layer(ValueId x) {
    const ValueId h = quantized_state(graph_, node_.input(ports_.initial_h));
    graph_.set_inputs(id_, layer_inputs(graph_, x, node_.input(ports_.lengths), h, initial_c()));
    graph_.set_op(id_, "lstm", &op_table().get("lstm"), {{"hidden_size", hidden_}});
  }

  static ValueId add(Graph& graph, const std::string& name, const char* type, std::vector<ValueId> inputs,
                     Attrs attrs = {}) {
    return graph.node(add_op(graph, name, type, std::move(inputs), std::move(attrs))).output();
  }
  static ValueId ints(Graph& graph, const std::string& name, const std::vector<int64_t>& values) {
    return graph.add_constant(name, Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
  }

  // One step: (h, c, step, x, lengths) -> (h, c, step + 1, y); c for an LSTM, step and lengths where there are lengths.
  std::shared_ptr<const Graph> body(bool lengths) const {
    Graph body;
    const TensorType state{DType::kFloat32, Shape({Dim(1), batch_, Dim(hidden_)})};
    const ValueId h = body.add_input("h", state);
    const ValueId c = lstm_ ? body.add_input("c", state) : kNoValue;
    const ValueId step = lengths ? body.add_input("step", {DType::kInt32, Shape({Dim(1)})}) : kNoValue;
    const Dim width = lstm_ ? w_.dims()[2] : 3 * hidden_;
    const ValueId x = body.add_input("x", {DType::kFloat32, Shape({Dim(1), batch_, width})});
    const ValueId length = lengths ? body.add_input("lengths", {DType::kInt32, Shape({batch_})}) : kNoValue;
    ValueId next_h, next_c;
    if (lstm_) {
      const std::vector<ValueId> inputs = layer_inputs(body, x, kNoValue, quantized_state(body, h), c);
      const NodeId layer = body.add_node(node_.name + ".step", "lstm", &op_table().get("lstm"), inputs,
                                         {"y", "y_h", "y_c"}, {{"hidden_size", hidden_}});
      next_h = body.node(layer).output(kYh);
      next_c = body.node(layer).output(kYc);
    } else {
      next_h = gates(body, x, h);
    }
    ValueId y = next_h;
    std::vector<ValueId> results;
    if (lengths) {
      const ValueId zero = body.add_constant("zero", Tensor::scalar<float>(0));
      const ValueId inside = add(body, "inside", "less", {step, length});
      const ValueId mask = add(body, "mask", "unsqueeze", {inside, ints(body, "mask_axes", {0, 2})});
      y = add(body, "y_inside", "where", {mask, next_h, zero});
      next_h = add(body, "h_inside", "where", {mask, next_h, h});
      if (lstm_) next_c = add(body, "c_inside", "where", {mask, next_c, c});
    }
    results.push_back(next_h);
    if (lstm_) results.push_back(next_c);
    if (lengths) {
      const ValueId one = body.add_constant("one", Tensor::of<int32_t>({1}, {1}));
      results.push_back(add(body, "next_step", "add", {step, one}));
    }
    results.push_back(y);
    body.set_outputs(std::move(results));
    return std::make_shared<const Graph>(std::move(body));
  }

  void as_scan(ValueId x) {
    const ValueId lengths = node_.input(ports_.lengths);
    const std::string name = node_.name + ".scan";
    const ValueId slices = add(graph_, name + ".steps", "unsqueeze", {x, ints(graph_, name + ".axes", {1})});
    std::vector<ValueId> inputs{node_.input(ports_.initial_h)};
    std::vector<std::string> outputs{name + ".h"};
    if (lstm_) {
      inputs.push_back(initial_c());
      outputs.push_back(name + ".c");
    }
    if (lengths.valid()) {
      inputs.push_back(graph_.add_constant(name + ".first_step", Tensor::of<int32_t>({1}, {0})));
      outputs.push_back(name + ".step");
    }
    inputs.push_back(slices);
    outputs.push_back(name + ".y");
    if (lengths.valid()) inputs.push_back(lengths);
    const NodeId scan = graph_.add_node(name, "scan", &op_table().get("scan"), std::move(inputs), outputs,
                                        {{"body", body(lengths.valid())},
                                         {"num_scan_inputs", int64_t{1}},
                                         {std::string(kCaptures), int64_t{lengths.valid() ? 1 : 0}}});
    ValueId h = graph_.node(scan).output(0), c = lstm_ ? graph_.node(scan).output(1) : kNoValue;
    if (lengths.valid()) {  // the state of an empty sequence is zero, as ONNX Runtime has it
      const ValueId none = graph_.add_constant(name + ".no_steps", Tensor::of<int32_t>({1}, {0}));
      const ValueId zero = graph_.add_constant(name + ".zero", Tensor::scalar<float>(0));
      const ValueId any = add(graph_, name + ".any", "greater", {lengths, none});
      const ValueId mask = add(graph_, name + ".mask", "unsqueeze", {any, ints(graph_, name + ".mask_axes", {0, 2})});
      h = add(graph_, name + ".h_or_zero", "where", {mask, h, zero});
      if (lstm_) c = add(graph_, name + ".c_or_zero", "where", {mask, c, zero});
    }
    graph_.set_inputs(id_, {});
    const auto& scan_outputs = graph_.node(scan).outputs;
    replace(kY, scan_outputs.back());
    replace(kYh, h);
    if (lstm_) replace(kYc, c);
    graph_.erase_node(id_);
    // Reports look for a layer's result under the layer's name.
    const NodeId copy = add_op(graph_, node_.name, "identity", {scan_outputs.back()});
    const ValueId result = graph_.node(copy).output();
    graph_.replace_uses(scan_outputs.back(), result);
    graph_.set_input(copy, 0, scan_outputs.back());
  }

  void replace(size_t port, ValueId by) {
    const ValueId output = node_.output(port);
    if (output.valid()) graph_.replace_uses(output, by);
  }

  Graph& graph_;
  const Node node_;
  NodeId id_;
  bool lstm_;
  const AscendRecurrentPorts& ports_;
  Dim steps_, batch_;
  FakeQuantChain of_x_, of_h_;
  int64_t hidden_ = 0;
  std::vector<float> factors_;  // of the sums, by row, those of x first
  Tensor w_, r_, b_;            // LSTM: floats; GRU: integers as float matrices (depth, rows), bias (1, 2 rows)
};

}  // namespace

void simulate_recurrent(Graph& graph, NodeId id) { Simulation(graph, id).run(); }

}  // namespace amct
