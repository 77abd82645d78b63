// Gated recurrent unit: z, r = f(x W^T + h R^T + biases), n = g(xn + (r h) Rn^T + biases) or, linear before reset,
// g(xn + r (h Rn^T + bias)), h' = (1 - z) n + z h. Gates in the order z, r, n.
#include "ops/recurrent.h"

namespace amct {
namespace {

constexpr RecurrentCell kCell = RecurrentCell::kGru;

std::vector<Sample> samples() {
  const auto sample = [](const RecurrentSample& s) { return recurrent_sample(kCell, s); };
  const std::pair<std::string, AttrValue> linear{"linear_before_reset", int64_t{1}};
  std::vector<Sample> samples{
      sample({"least", 3, 2, 5, 7}),
      sample({"linear", 4, 3, 5, 19, 6, {linear}}),
      sample({"linear_without_bias", 3, 1, 5, 11, 3, {linear}}),
      sample({"all_inputs", 5, 3, 4, 17, 6, {{"direction", "reverse"}}, 2, {5, 0, 3}}),
      sample({"bidirectional", 4, 5, 3, 9, 6, {{"direction", "bidirectional"}, linear}, 2, {4, 2, 1, 3, 4}}),
      sample({"one_sequence", 7, 1, 6, 35, 6}),
      sample({"functions",
              4,
              5,
              3,
              33,
              4,
              {{"direction", "bidirectional"},
               {"activations", std::vector<std::string>{"HardSigmoid", "ScaledTanh", "Sigmoid", "Elu"}},
               {"activation_alpha", std::vector<double>{0.3, 0.8, 0.6}},
               {"activation_beta", std::vector<double>{0.4, 0.7}},
               {"clip", 1.5}}}),
      sample({"half", 3, 2, 4, 5, 4, {}, 2, {}, DType::kFloat16}),
  };
  samples.push_back(sample({"batch_first", 3, 2, 4, 5, 6, {{"direction", "bidirectional"}, {"layout", int64_t{1}}}}));
  samples.back().skip_onnx_runtime = true;
  samples.back().reason = "ONNX Runtime runs layout 0 only";
  samples.push_back(sample({"double", 3, 2, 4, 5, 4, {linear}, 2, {}, DType::kFloat64}));
  samples.back().skip_onnx_runtime = true;
  samples.back().reason = "ONNX Runtime has no kernel of this type";
  return samples;
}

}  // namespace

void add_gru_op(OpTable& table) {
  OpRow row = recurrent_row(kCell);
  row.name = "gru";
  row.doc = "Gated recurrent unit.";
  row.infer = [](InferContext& c) { infer_recurrent(c, kCell); };
  row.run = [](RunContext& c) { run_recurrent(c, kCell); };
  row.lower = [](const LowerContext& c) { return lower_recurrent(c, kCell); };
  row.spellings = recurrent_spellings("GRU");
  row.samples = samples;
  table.add(std::move(row));
}

}  // namespace amct
