// The plain recurrent layer: h' = f(x W^T + h R^T + biases).
#include "ops/recurrent.h"

namespace amct {
namespace {

constexpr RecurrentCell kCell = RecurrentCell::kRnn;

std::vector<Sample> samples() {
  const auto sample = [](const RecurrentSample& s) { return recurrent_sample(kCell, s); };
  std::vector<Sample> samples{
      sample({"least", 3, 2, 5, 7}),
      sample({"all_inputs", 5, 3, 4, 17, 6, {{"direction", "reverse"}}, 2, {5, 0, 3}}),
      sample({"bidirectional", 4, 5, 3, 9, 6, {{"direction", "bidirectional"}}}),
      sample({"functions",
              4,
              2,
              3,
              5,
              4,
              {{"direction", "bidirectional"},
               {"activations", std::vector<std::string>{"LeakyRelu", "Softsign"}},
               {"activation_alpha", std::vector<double>{0.3}},
               {"clip", 1.5}}}),
      sample({"affine",
              3,
              1,
              4,
              6,
              4,
              {{"activations", std::vector<std::string>{"Affine"}},
               {"activation_alpha", std::vector<double>{0.4}},
               {"activation_beta", std::vector<double>{0.1}}}}),
      sample({"half", 3, 2, 4, 5, 4, {}, 2, {}, DType::kFloat16}),
  };
  samples.push_back(sample({"batch_first", 3, 2, 4, 5, 6, {{"direction", "bidirectional"}, {"layout", int64_t{1}}}}));
  samples.back().skip_onnx_runtime = true;
  samples.back().reason = "ONNX Runtime runs layout 0 only";
  for (const auto& [name, dtype] : {std::pair("double", DType::kFloat64), std::pair("bfloat", DType::kBFloat16)}) {
    samples.push_back(sample({name, 3, 2, 4, 5, 4, {}, 2, {}, dtype}));
    samples.back().skip_onnx_runtime = true;
    samples.back().reason = "ONNX Runtime has no kernel of this type";
  }
  return samples;
}

}  // namespace

void add_rnn_op(OpTable& table) {
  OpRow row = recurrent_row(kCell);
  row.name = "rnn";
  row.doc = "Recurrent layer with one gate.";
  row.infer = [](InferContext& c) { infer_recurrent(c, kCell); };
  row.run = [](RunContext& c) { run_recurrent(c, kCell); };
  row.lower = [](const LowerContext& c) { return lower_recurrent(c, kCell); };
  row.spellings = recurrent_spellings("RNN");
  row.samples = samples;
  table.add(std::move(row));
}

}  // namespace amct
