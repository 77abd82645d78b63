// Operators that ONNX Runtime's optimizer makes of several standard ones, taken apart again: every pass, quantization
// first, then sees the layers that the model was made of.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "ops/composition.h"
#include "ops/op_row.h"

namespace amct {
namespace {

// An activation by its ONNX name; `params` are the attributes of its row, in order.
struct Activation {
  const char* type;
  const char* op;
  std::vector<const char*> params;
};
const std::vector<Activation>& activations() {
  static const std::vector<Activation> table = {
      {"Relu", "relu", {}},
      {"Tanh", "tanh", {}},
      {"Sigmoid", "sigmoid", {}},
      {"Softplus", "softplus", {}},
      {"Softsign", "softsign", {}},
      {"HardSwish", "hard_swish", {}},
      {"LeakyRelu", "leaky_relu", {"alpha"}},
      {"Elu", "elu", {"alpha"}},
      {"ThresholdedRelu", "thresholded_relu", {"alpha"}},
      {"HardSigmoid", "hard_sigmoid", {"alpha", "beta"}},
      {"Selu", "selu", {"alpha", "gamma"}},
  };
  return table;
}

ValueId number(const ImportContext& c, std::string_view what, double value) {
  return c.constant(what, Tensor::scalar(static_cast<float>(value)));
}

ValueId activate(const ImportContext& c, ValueId x, const std::string& type, const std::vector<double>& params) {
  if (type.empty()) return x;
  if (type == "Clip") {
    if (params.size() != 2) c.fail(fmt::format("its Clip has {} parameters; 2 are needed", params.size()));
    return compose(c, "clip", {x, number(c, "min", params[0]), number(c, "max", params[1])}, {}, "activation");
  }
  const auto& table = activations();
  const auto at = std::find_if(table.begin(), table.end(), [&](const Activation& row) { return type == row.type; });
  if (at == table.end()) c.unsupported(fmt::format("a fused activation {}", type));
  if (params.size() > at->params.size()) c.fail(fmt::format("its {} has {} parameters", type, params.size()));
  Attrs attrs;
  for (size_t i = 0; i < params.size(); ++i) attrs.set(at->params[i], params[i]);
  return compose(c, at->op, {x}, std::move(attrs), "activation");
}

// The attributes without those named.
Attrs without(Attrs attrs, const std::vector<std::string_view>& names) {
  for (const std::string_view name : names) attrs.erase(name);
  return attrs;
}

void import_fused_conv(ImportContext& c) {
  const std::vector<std::string_view> own = {"activation", "activation_params"};
  check_attrs(c, own);
  ValueId y = compose(c, "conv", {c.input(0), c.input(1), c.input(2)}, without(c.attrs(), own));
  if (c.input(3).valid()) y = compose(c, "add", {y, c.input(3)}, {}, "sum");
  bind_output(c, 0,
              activate(c, y, c.attrs().get<std::string>("activation", ""),
                       c.attrs().get<std::vector<double>>("activation_params", {})));
}

void import_fused_gemm(ImportContext& c) {
  const std::vector<std::string_view> own = {"activation", "activation_alpha", "activation_beta", "activation_gamma"};
  check_attrs(c, own);
  const std::string type = c.attrs().get<std::string>("activation", "");
  std::vector<double> params;
  for (const Activation& row : activations()) {
    for (const char* param : row.params) {
      const std::string name = fmt::format("activation_{}", param);
      if (type == row.type && c.attrs().has(name)) params.push_back(c.attrs().require<double>(name));
    }
  }
  const ValueId y = compose(c, "gemm", {c.input(0), c.input(1), c.input(2)}, without(c.attrs(), own));
  bind_output(c, 0, activate(c, y, type, params));
}

ValueId scaled(const ImportContext& c, ValueId x, double factor) {
  return factor == 1 ? x : compose(c, "mul", {x, number(c, "alpha", factor)}, {}, "scaled");
}

// The same matrices with rows and columns exchanged.
ValueId transposed(const ImportContext& c, ValueId x, size_t rank, std::string_view what) {
  std::vector<int64_t> order(rank);
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[rank - 1], order[rank - 2]);
  return compose(c, "transpose", {x}, {{"perm", order}}, what);
}

void import_fused_matmul(ImportContext& c) {
  check_attrs(c, {"alpha", "transA", "transB", "transBatchA", "transBatchB"});
  const auto flag = [&](const char* name) { return c.attrs().get<int64_t>(name, 0) != 0; };
  if (flag("transBatchA") || flag("transBatchB")) c.unsupported("transposed batch axes");
  std::vector<ValueId> operands;
  for (const size_t port : {0, 1}) {
    operands.push_back(c.input(port));
    if (!flag(port == 0 ? "transA" : "transB")) continue;
    const Shape shape = known_shape(c, c.input(port));
    if (!shape.ranked()) c.unsupported(fmt::format("input {} is to be transposed and has no known rank", port));
    if (shape.rank() >= 2) operands.back() = transposed(c, c.input(port), shape.rank(), port == 0 ? "a" : "b");
  }
  bind_output(c, 0, scaled(c, compose(c, "matmul", operands), c.attrs().get<double>("alpha", 1)));
}

void import_bias_gelu(ImportContext& c) {
  check_attrs(c, {});
  bind_output(c, 0, compose(c, "gelu", {compose(c, "add", {c.input(0), c.input(1)}, {}, "biased")}));
}

void import_fast_gelu(ImportContext& c) {
  check_attrs(c, {});
  ValueId x = c.input(0);
  if (c.input(1).valid()) x = compose(c, "add", {x, c.input(1)}, {}, "biased");
  bind_output(c, 0, compose(c, "gelu", {x}, {{"approximate", std::string("tanh")}}));
}

void import_quick_gelu(ImportContext& c) {
  check_attrs(c, {"alpha"});
  const ValueId gate =
      compose(c, "sigmoid", {scaled(c, c.input(0), c.attrs().get<double>("alpha", 1.702))}, {}, "gate");
  bind_output(c, 0, compose(c, "mul", {c.input(0), gate}));
}

// y = norm(x + skip + bias), with the sum as a further output.
void import_skip_norm(ImportContext& c, const char* norm, size_t beta, size_t bias) {
  check_attrs(c, {"epsilon"});
  if (is_wanted(c, 1) || is_wanted(c, 2)) c.unsupported("its statistics are wanted");
  ValueId sum = compose(c, "add", {c.input(0), c.input(1)}, {}, "sum");
  if (c.input(bias).valid()) sum = compose(c, "add", {sum, c.input(bias)}, {}, "biased");
  bind_output(c, 3, sum);
  std::vector<ValueId> inputs = {sum, c.input(2)};
  if (beta != 0) inputs.push_back(c.input(beta));
  bind_output(c, 0, compose(c, norm, std::move(inputs), {{"epsilon", c.attrs().get<double>("epsilon", 1e-12)}}));
}
void import_skip_layer_norm(ImportContext& c) { import_skip_norm(c, "layer_norm", 3, 4); }
void import_skip_rms_norm(ImportContext& c) { import_skip_norm(c, "rms_norm", 0, 3); }

ValueId rows_of(const ImportContext& c, size_t embedding, ValueId indices, std::string_view what) {
  return compose(c, "gather", {c.input(embedding), indices}, {{"axis", int64_t{0}}}, what);
}

// The positions of tokens that have none of their own: 0, 1, 2, …
ValueId counted_positions(const ImportContext& c) {
  const ValueId shape = compose(c, "shape", {c.input(0)}, {}, "shape");
  const ValueId length =
      compose(c, "gather", {shape, c.constant("one", Tensor::scalar<int64_t>(1))}, {{"axis", int64_t{0}}}, "length");
  return compose(
      c, "range",
      {c.constant("zero", Tensor::scalar<int64_t>(0)), length, c.constant("step", Tensor::scalar<int64_t>(1))}, {},
      "positions");
}

void import_embed_layer_norm(ImportContext& c) {
  check_attrs(c, {"epsilon", "mask_index_type"});
  enum : size_t { kIds, kSegments, kWords, kPositionTable, kSegmentTable, kGamma, kBeta, kMask, kPositions };
  const ValueId positions = c.input(kPositions).valid() ? c.input(kPositions) : counted_positions(c);
  ValueId sum =
      compose(c, "add", {rows_of(c, kWords, c.input(kIds), "words"), rows_of(c, kPositionTable, positions, "places")},
              {}, "placed");
  if (c.input(kSegments).valid())
    sum = compose(c, "add", {sum, rows_of(c, kSegmentTable, c.input(kSegments), "segments")}, {}, "sum");
  if (is_wanted(c, 1)) {  // how many tokens of each sample are not masked
    const ValueId axes = c.ints_constant("axes", {1});
    const Attrs drop{{"keepdims", int64_t{0}}};
    const bool masked = c.input(kMask).valid();
    ValueId counted = masked ? c.input(kMask) : c.input(kIds);
    if (!masked) counted = compose(c, "sub", {counted, counted}, {}, "unmasked");
    bind_output(c, 1, compose(c, "reduce_sum", {counted, axes}, drop, "mask_index"));
  }
  bind_output(c, 2, sum);
  bind_output(c, 0,
              compose(c, "layer_norm", {sum, c.input(kGamma), c.input(kBeta)},
                      {{"epsilon", c.attrs().get<double>("epsilon", 1e-12)}}));
}

}  // namespace

std::vector<Composition> microsoft_fused_compositions() {
  return {
      {kMicrosoft, "FusedConv", "conv", "conv, an addition, an activation", import_fused_conv},
      {kMicrosoft, "FusedGemm", "gemm", "gemm, an activation", import_fused_gemm},
      {kMicrosoft, "FusedMatMul", "matmul", "transpositions, matmul, a factor", import_fused_matmul},
      {kMicrosoft, "BiasGelu", "gelu", "add, gelu", import_bias_gelu},
      {kMicrosoft, "FastGelu", "gelu", "add, gelu by tanh", import_fast_gelu},
      {kMicrosoft, "QuickGelu", "mul", "x sigmoid(alpha x)", import_quick_gelu},
      {kMicrosoft, "SkipLayerNormalization", "layer_norm", "additions, layer_norm", import_skip_layer_norm},
      {kMicrosoft, "SkipSimplifiedLayerNormalization", "rms_norm", "additions, rms_norm", import_skip_rms_norm},
      {kMicrosoft, "EmbedLayerNormalization", "layer_norm", "gathers, additions, layer_norm", import_embed_layer_norm},
  };
}

}  // namespace amct
