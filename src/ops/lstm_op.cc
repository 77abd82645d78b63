// Long short-term memory: i, f = f(x W^T + h R^T + P c + biases), c' = f c + i g(…), o = f(… + P c'), h' = o h(c').
// Gates in the order i, o, f, c; peepholes i, o, f.
#include "ops/recurrent.h"

namespace amct {
namespace {

constexpr RecurrentCell kCell = RecurrentCell::kLstm;

std::vector<Sample> samples() {
  const auto sample = [](const RecurrentSample& s) { return recurrent_sample(kCell, s); };
  const std::pair<std::string, AttrValue> both{"direction", "bidirectional"};
  std::vector<Sample> samples{
      sample({"least", 3, 2, 5, 7}),
      sample({"states", 4, 1, 5, 35, 7, {}, 3}),
      sample({"all_inputs", 5, 3, 4, 17, 8, {{"direction", "reverse"}}, 3, {5, 0, 3}}),
      sample({"bidirectional", 4, 5, 3, 9, 8, {both}, 3, {4, 2, 1, 3, 4}}),
      sample({"batch", 6, 11, 7, 21, 7, {both}, 3}),
      sample({"functions",
              4,
              5,
              3,
              13,
              8,
              {both,
               {"activations",
                std::vector<std::string>{"HardSigmoid", "Relu", "Softplus", "Sigmoid", "ThresholdedRelu", "Tanh"}},
               {"activation_alpha", std::vector<double>{0.3, 0.2}},
               {"activation_beta", std::vector<double>{0.4}},
               {"clip", 1.25}},
              3}),
      sample({"input_forget", 5, 2, 4, 6, 8, {{"input_forget", int64_t{1}}}, 3}),
      sample({"half", 3, 2, 4, 5, 4, {}, 3, {}, DType::kFloat16}),
      sample({"computed_weights", 3, 2, 4, 5, 8, {}, 3, {}, DType::kFloat32, false}),
  };
  samples.push_back(sample({"batch_first", 3, 2, 4, 5, 7, {both, {"layout", int64_t{1}}}, 3}));
  samples.back().skip_onnx_runtime = true;
  samples.back().reason = "ONNX Runtime runs layout 0 only";
  samples.push_back(sample({"double", 3, 2, 4, 5, 8, {}, 3, {}, DType::kFloat64}));
  samples.back().skip_onnx_runtime = true;
  samples.back().reason = "ONNX Runtime has no kernel of this type";
  return samples;
}

}  // namespace

void add_lstm_op(OpTable& table) {
  OpRow row = recurrent_row(kCell);
  row.name = "lstm";
  row.doc = "Long short-term memory.";
  row.infer = [](InferContext& c) { infer_recurrent(c, kCell); };
  row.run = [](RunContext& c) { run_recurrent(c, kCell); };
  row.lower = [](const LowerContext& c) { return lower_recurrent(c, kCell); };
  row.spellings = recurrent_spellings("LSTM");
  row.samples = samples;
  table.add(std::move(row));
}

}  // namespace amct
