// The recurrent operators of Ascend deploy models against loops over integers written here, compiled and plain; what
// they refuse; that they come near the float operator whose weights they stand for.
#include "ops/ascend_recurrent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <random>

#include "exec/session.h"
#include "ops/lowering_harness.h"
#include "support/errors.h"
#include "support/sample_node.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

struct Case {
  RecurrentCell cell;
  int64_t steps, batch, inputs, hidden;
  std::vector<int32_t> lengths = {};
  bool wide = false;
  bool bias = true;

  int64_t gates() const { return cell == RecurrentCell::kLstm ? 4 : 3; }
  const OpRow& row() const { return op_table().get(cell == RecurrentCell::kLstm ? "ascend_lstm" : "ascend_gru"); }
};

// A layer with everything that it reads, as plain arrays.
struct Layer {
  Case c;
  std::vector<float> x, h, state, factors;
  std::vector<int8_t> w, r;
  std::vector<int32_t> b;
  float scale_x = 0, scale_h = 0;  // inverse, as the operator stores them
  int offset_x = 0, offset_h = 0;

  explicit Layer(const Case& of, uint64_t seed) : c(of) {
    std::mt19937_64 random(seed);
    const auto fill = [&](auto& to, int64_t count, double low, double high) {
      to.resize(static_cast<size_t>(count));
      std::uniform_real_distribution<double> values(low, high);
      for (auto& value : to) value = static_cast<std::decay_t<decltype(value)>>(values(random));
    };
    const int64_t rows = c.gates() * c.hidden;
    fill(x, c.steps * c.batch * c.inputs, -3, 2);
    fill(h, c.batch * c.hidden, -1, 1);
    fill(state, c.batch * c.hidden, -2, 2);
    fill(w, rows * c.inputs, -127.9, 127.9);
    fill(r, rows * c.hidden, -127.9, 127.9);
    fill(b, 2 * rows, c.bias ? -9000 : 0, c.bias ? 9000 : 0);
    const double levels = c.wide ? 32767 : 127;
    fill(factors, 2 * rows, 1e-4 / levels, 4e-2 / levels);
    scale_x = static_cast<float>(levels / 1.9);  // some inputs saturate
    scale_h = static_cast<float>(levels / 0.8);
    offset_x = c.wide ? 1201 : 17;
    offset_h = c.wide ? -777 : -5;
  }

  SampleNode node() const {
    const AscendRecurrentPorts& ports = ascend_recurrent_ports(c.cell);
    const int64_t rows = c.gates() * c.hidden;
    std::vector<Tensor> inputs(ports.deq_scale + 1);
    std::vector<bool> constant(ports.deq_scale + 1, false);
    inputs[ports.x] = Tensor::of<float>({c.steps, c.batch, c.inputs}, x);
    inputs[ports.w] = Tensor::of<int8_t>({1, rows, c.inputs}, w);
    inputs[ports.r] = Tensor::of<int8_t>({1, rows, c.hidden}, r);
    inputs[ports.initial_h] = Tensor::of<float>({1, c.batch, c.hidden}, h);
    if (c.cell == RecurrentCell::kLstm) inputs[ports.initial_c] = Tensor::of<float>({1, c.batch, c.hidden}, state);
    if (c.bias) inputs[ports.b] = Tensor::of<int32_t>({1, 2 * rows}, b);
    if (!c.lengths.empty()) inputs[ports.lengths] = Tensor::of<int32_t>({c.batch}, c.lengths);
    std::vector<uint64_t> words;
    for (const float factor : factors) words.push_back(std::bit_cast<uint32_t>(factor));
    inputs[ports.deq_scale] = Tensor::of<uint64_t>({2 * rows}, words);
    for (const size_t port : {ports.w, ports.r, ports.b, ports.deq_scale}) constant[port] = true;
    SampleNode result{.title = "layer", .graph = {}, .id = {}, .inputs = inputs};
    result.graph = graph_of_node(c.row(), inputs, constant,
                                 {{"hidden_size", c.hidden},
                                  {"quant_scale_x", static_cast<double>(scale_x)},
                                  {"quant_offset_x", static_cast<double>(offset_x)},
                                  {"quant_scale_h", static_cast<double>(scale_h)},
                                  {"quant_offset_h", static_cast<double>(offset_h)},
                                  {"quant_dtype", c.wide ? kAscendInt16 : kAscendInt8}},
                                 c.cell == RecurrentCell::kLstm ? 3 : 2, &result.id);
    return result;
  }

  int64_t quantized(float value, float scale, int offset) const {
    const int64_t low = c.wide ? -32768 : -128, high = c.wide ? 32767 : 127;
    const auto rounded = static_cast<int64_t>(std::nearbyint(value * scale)) + offset;
    return std::min(std::max(rounded, low), high) - offset;
  }

  // What enters the gates from one vector: `second` = the half of the state.
  float entering(const float* vector, int64_t depth, int64_t row, bool second) const {
    const int64_t rows = c.gates() * c.hidden;
    int64_t sum = c.bias ? b[static_cast<size_t>((second ? rows : 0) + row)] : 0;
    for (int64_t k = 0; k < depth; ++k) {
      const int64_t weight = (second ? r : w)[static_cast<size_t>(row * depth + k)];
      sum += weight * (second ? quantized(vector[k], scale_h, offset_h) : quantized(vector[k], scale_x, offset_x));
    }
    return static_cast<float>(sum) * factors[static_cast<size_t>((second ? rows : 0) + row)];
  }

  // y, y_h, y_c
  std::vector<std::vector<float>> reference() const {
    std::vector<std::vector<float>> out(3);
    out[0].assign(static_cast<size_t>(c.steps * c.batch * c.hidden), 0.0f);
    for (int64_t n = 0; n < c.batch; ++n) {
      std::vector<float> now(h.begin() + n * c.hidden, h.begin() + (n + 1) * c.hidden);
      std::vector<float> cell(state.begin() + n * c.hidden, state.begin() + (n + 1) * c.hidden);
      const int64_t length = c.lengths.empty() ? c.steps : c.lengths[static_cast<size_t>(n)];
      for (int64_t t = 0; t < length; ++t) {
        const float* in = x.data() + (t * c.batch + n) * c.inputs;
        std::vector<float> next(now.size());
        for (int64_t u = 0; u < c.hidden; ++u) {
          const auto from_x = [&](int64_t gate) { return entering(in, c.inputs, gate * c.hidden + u, false); };
          const auto from_h = [&](int64_t gate) { return entering(now.data(), c.hidden, gate * c.hidden + u, true); };
          const auto sigmoid = [](double value) { return 1 / (1 + std::exp(-value)); };
          const auto both = [&](int64_t gate) { return static_cast<double>(from_x(gate)) + from_h(gate); };
          if (c.cell == RecurrentCell::kLstm) {  // i, o, f, c
            const double updated = sigmoid(both(2)) * cell[u] + sigmoid(both(0)) * std::tanh(both(3));
            cell[u] = static_cast<float>(updated);
            next[u] = static_cast<float>(sigmoid(both(1)) * std::tanh(updated));
          } else {  // z, r, n
            const double z = sigmoid(both(0));
            const double fresh = std::tanh(from_x(2) + sigmoid(both(1)) * from_h(2));
            next[u] = static_cast<float>((1 - z) * fresh + z * now[u]);
          }
        }
        now = next;
        std::copy(now.begin(), now.end(), out[0].begin() + (t * c.batch + n) * c.hidden);
      }
      if (length == 0) now.assign(now.size(), 0), cell.assign(cell.size(), 0);
      out[1].insert(out[1].end(), now.begin(), now.end());
      out[2].insert(out[2].end(), cell.begin(), cell.end());
    }
    return out;
  }
};

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const RecurrentCell cell : {RecurrentCell::kLstm, RecurrentCell::kGru}) {
    result.push_back({cell, 1, 1, 257, 128});
    result.push_back({cell, 7, 3, 5, 33});
    result.push_back({cell, 5, 4, 6, 9, {5, 0, 2, 4}});
    result.push_back({.cell = cell, .steps = 4, .batch = 2, .inputs = 31, .hidden = 17, .wide = true});
    result.push_back({.cell = cell, .steps = 3, .batch = 1, .inputs = 4, .hidden = 6, .bias = false});
  }
  return result;
}

// A rounding of a gate may move a state over an integer's edge, and the next steps with it: few elements, little.
void expect_near(const std::vector<float>& expected, const Tensor& got, size_t port) {
  const auto values = got.values<float>();
  ASSERT_EQ(values.size(), expected.size());
  size_t far = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    far += std::abs(values[i] - expected[i]) > 1e-6 ? 1 : 0;
    ASSERT_NEAR(values[i], expected[i], 2e-2) << "output " << port << " element " << i;
  }
  EXPECT_LE(far, expected.size() / 50) << "output " << port;
}

TEST(AscendRecurrent, ComputesWhatTheLoopsDo) {
  uint64_t seed = 40;
  for (const Case& c : cases()) {
    const Layer layer(c, ++seed);
    SCOPED_TRACE(::testing::Message() << c.row().name << " " << c.steps << "x" << c.batch << "x" << c.inputs << " -> "
                                      << c.hidden << " seed " << seed);
    const SampleNode node = layer.node();
    const auto expected = layer.reference();
    const std::vector<Tensor> plain = run_filled(node.node(), node.inputs, 0x5a);
    Session session(node.graph);
    const std::vector<Tensor> feeds = feeds_of(node);
    EXPECT_EQ(session.program(feeds)->steps()[0].implementation, "simd");
    const std::vector<Tensor> compiled = session.run(feeds);
    for (size_t port = 0; port < plain.size(); ++port) {
      expect_near(expected[port], plain[port], port);
      EXPECT_TRUE(plain[port].same_bytes(compiled[port])) << "output " << port;
    }
  }
}

// With weights, input and state that are multiples of their scales nothing is rounded: the float operator's numbers.
TEST(AscendRecurrent, EqualsTheFloatOperatorWhereNothingIsRounded) {
  for (const bool lstm : {true, false}) {
    Layer layer({lstm ? RecurrentCell::kLstm : RecurrentCell::kGru, 1, 2, 5, 6}, 3);
    layer.scale_x = 64, layer.scale_h = 64;
    for (float& value : layer.x) value = std::round(value * 40) / 64;
    for (float& value : layer.h) value = std::round(value * 64) / 64;
    const int64_t rows = layer.c.gates() * layer.c.hidden;
    for (float& factor : layer.factors) factor = 1.0f / 64 / 128;
    const SampleNode node = layer.node();
    const std::vector<Tensor> integer = run_filled(node.node(), node.inputs, 0);

    std::vector<float> w(layer.w.begin(), layer.w.end()), r(layer.r.begin(), layer.r.end());
    std::vector<float> b(layer.b.begin(), layer.b.end());
    for (float& value : w) value /= 128;
    for (float& value : r) value /= 128;
    for (float& value : b) value *= 1.0f / 64 / 128;
    std::vector<Tensor> inputs{node.inputs[0],
                               Tensor::of<float>({1, rows, 5}, w),
                               Tensor::of<float>({1, rows, 6}, r),
                               Tensor::of<float>({1, 2 * rows}, b),
                               Tensor(),
                               Tensor::of<float>({1, 2, 6}, layer.h)};
    Attrs attrs{{"hidden_size", int64_t{6}}};
    if (lstm) inputs.push_back(Tensor::of<float>({1, 2, 6}, layer.state));
    if (!lstm) attrs.set("linear_before_reset", int64_t{1});
    NodeId id;
    const Graph graph = graph_of_node(op_table().get(lstm ? "lstm" : "gru"), inputs, std::vector<bool>(inputs.size()),
                                      attrs, integer.size(), &id);
    const std::vector<Tensor> floats = run_filled(graph.node(id), inputs, 0);
    for (size_t port = 0; port < integer.size(); ++port) {
      EXPECT_TRUE(close(integer[port], floats[port], 1e-5, 1e-6)) << (lstm ? "lstm" : "gru") << " output " << port;
    }
  }
}

// (-128) (-128) 131072 = 2^31: one input more than 32 bits hold.
TEST(AscendRecurrent, SumsOfManyInputsDoNotOverflow) {
  Layer layer({RecurrentCell::kLstm, 1, 1, 131072, 1}, 3);
  std::fill(layer.x.begin(), layer.x.end(), -1e9f);
  std::fill(layer.w.begin(), layer.w.end(), int8_t{-128});
  std::fill(layer.factors.begin(), layer.factors.end(), 1e-10f);
  layer.offset_x = 0;
  SampleNode node = layer.node();
  const std::vector<Tensor> out = run_filled(node.node(), node.inputs, 0xff);
  EXPECT_NEAR(out[0].values<float>()[0], layer.reference()[0][0], 1e-6);
}

TEST(AscendRecurrent, LetsItsWeightsGo) {
  for (const RecurrentCell cell : {RecurrentCell::kLstm, RecurrentCell::kGru}) {
    SampleNode layer = Layer({cell, 2, 3, 4, 5}, 9).node();
    update_types(layer.graph);
    const auto step = lower_case(layer, Layout::kPlain, Layout::kPlain);
    ASSERT_NE(step, nullptr);
    const AscendRecurrentPorts& ports = ascend_recurrent_ports(cell);
    for (const size_t port : {ports.w, ports.r, ports.b, ports.deq_scale}) EXPECT_FALSE(step->reads(port)) << port;
    for (const size_t port : {ports.x, ports.initial_h, ports.lengths}) EXPECT_TRUE(step->reads(port)) << port;
  }
}

std::string refusal(const std::function<void(SampleNode&)>& change, RecurrentCell cell = RecurrentCell::kLstm) {
  SampleNode node = Layer({cell, 2, 3, 4, 5}, 9).node();
  change(node);
  return error_of([&] {
    InferContext infer = infer_context(node.node(), node.inputs);
    node.node().row->infer(infer);
    run_filled(node.node(), node.inputs, 0);
  });
}

TEST(AscendRecurrent, RefusesWhatItDoesNotCompute) {
  const auto attribute = [](const char* name, AttrValue value) {
    return [name, value](SampleNode& node) { node.graph.node(node.id).attrs.set(name, value); };
  };
  const auto input = [](size_t port, Tensor value) {
    return [port, value](SampleNode& node) {
      node.inputs.resize(std::max(node.inputs.size(), port + 1));
      node.inputs[port] = value;
    };
  };
  const auto expect = [](const std::string& said, const char* part) {
    EXPECT_NE(said.find(part), std::string::npos) << said;
  };
  expect(refusal(attribute("direction", std::string("reverse"))), "direction is reverse");
  expect(refusal(attribute("clip", 2.0)), "clip is 2");
  expect(refusal(attribute("hidden_size", int64_t{0})), "hidden_size is 0");
  expect(refusal(attribute("hidden_size", int64_t{6})), "input 'w' has shape [1, 20, 4]");
  expect(refusal(attribute("quant_dtype", int64_t{3})), "quant_dtype is 3");
  expect(refusal(attribute("quant_sqrt_mode_h", int64_t{1})), "quant_sqrt_mode_h is 1");
  expect(refusal(attribute("quant_scale_x", 0.0)), "quant_scale_x is 0");
  expect(refusal(attribute("quant_scale_h", INFINITY)), "quant_scale_h is inf");
  expect(refusal(attribute("quant_offset_x", 128.0)), "quant_offset_x is 128");
  expect(refusal(attribute("quant_offset_h", 0.5)), "quant_offset_h is 0.5");
  expect(refusal(attribute("input_forget", int64_t{1})), "input_forget is 1");
  expect(refusal(attribute("linear_before_reset", int64_t{0}), RecurrentCell::kGru), "linear_before_reset is 0");
  expect(refusal(input(0, Tensor::allocate(DType::kFloat64, {2, 3, 4}))), "input 'x' has type float64");
  expect(refusal(input(0, Tensor::allocate(DType::kFloat32, {2, 4}))), "input 'x' has shape [2, 4]");
  expect(refusal(input(1, Tensor::allocate(DType::kInt32, {1, 20, 4}))), "input 'w' has type int32");
  expect(refusal(input(2, Tensor::allocate(DType::kInt8, {1, 20, 4}))), "input 'r' has shape");
  expect(refusal(input(3, Tensor::allocate(DType::kFloat32, {1, 2, 5}))), "input 'initial_h' has shape");
  expect(refusal(input(5, Tensor::allocate(DType::kInt32, {1, 20}))), "input 'b' has shape");
  expect(refusal(input(6, Tensor::of<int32_t>({3}, {1, 3, 2}))), "a sequence of 3 does not fit 2 steps");
  expect(refusal(input(7, Tensor::of<int32_t>({3}, {1, 1, 1}))), "clean_cache");
  expect(refusal(input(8, Tensor::allocate(DType::kUInt64, {20}))), "input 'deq_scale' has shape");
  expect(refusal(input(8, Tensor::of<uint64_t>({40}, std::vector<uint64_t>(40, uint64_t{1} << 40)))),
         "weight offsets or shifts");
}

}  // namespace
}  // namespace amct::testing
