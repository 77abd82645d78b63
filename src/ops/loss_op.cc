// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: how far class scores are from target classes.
//
// With input x (N, C, d…), targets t (N, d…) and weights w of the classes (1 without), the loss of a position is
//   l = -w[t] x[t]                                     (negative log-likelihood)
//   l = -w[t] (x[t] - log sum over c of exp(x[c]))     (softmax cross-entropy)
// and 0 where t = ignore_index. The reduction `none` gives l, `sum` its sum, `mean` the sum over the sum of w[t] of the
// positions that are not ignored. Sums are taken in double.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr size_t kTarget = 1, kWeight = 2, kLogProb = 1;

bool reduces(const Node& node) { return attr_string(node, "reduction") != "none"; }

void check_class_weights(const InferContext& c) {
  if (!c.has(kWeight)) return;
  if (c.dtype(kWeight) != DType::kUndefined && c.dtype(0) != DType::kUndefined && c.dtype(kWeight) != c.dtype(0)) {
    c.fail(fmt::format("weights are {}, scores {}", name_of(c.dtype(kWeight)), name_of(c.dtype(0))));
  }
  const auto weights = c.shape(kWeight).fixed();
  const Shape& x = c.shape(0);
  const bool known = weights && x.ranked() && x.rank() > 1 && x[1].is_fixed();
  if (known && *weights != Dims{x[1].extent()}) {
    c.fail(fmt::format("weights of shape {} do not fit {} classes", to_string(*weights), x[1].extent()));
  }
}

// The shape of the targets, joined from what inputs 0 and 1 say.
Shape target_shape(const InferContext& c) {
  const Shape& x = c.shape(0);
  const Shape& target = c.shape(kTarget);
  if (!x.ranked()) return target;
  if (x.rank() < 2) c.fail(fmt::format("scores of shape {} have no axis of classes", x.to_string()));
  std::vector<Dim> dims = x.dims();
  dims.erase(dims.begin() + 1);
  if (!target.ranked()) return Shape(std::move(dims));
  bool fits = target.rank() == dims.size();
  for (size_t i = 0; fits && i < dims.size(); ++i) {
    fits = !dims[i].is_fixed() || !target[i].is_fixed() || dims[i] == target[i];
    if (!dims[i].is_fixed()) dims[i] = target[i];
  }
  if (!fits)
    c.fail(fmt::format("targets of shape {} do not fit scores of shape {}", target.to_string(), x.to_string()));
  return Shape(std::move(dims));
}

void infer_loss(InferContext& c) {
  expect_type(c, 0, is_float_type);
  expect_type(c, kTarget, [](DType dtype) { return dtype == DType::kInt32 || dtype == DType::kInt64; });
  const std::string reduction = attr_string(c.node(), "reduction");
  if (reduction != "none" && reduction != "sum" && reduction != "mean") {
    c.fail(fmt::format("reduction '{}' is not none, sum or mean", reduction));
  }
  check_class_weights(c);
  Shape shape = target_shape(c);
  c.set_output(0, c.dtype(0), reduces(c.node()) ? Shape::of({}) : std::move(shape));
  c.set_output(kLogProb, c.dtype(0), c.shape(0));
}

// Scores as (batch, class, position).
struct Scores {
  int64_t batch, classes, positions;
  int64_t at(int64_t target, int64_t c) const {
    return (target / positions * classes + c) * positions + target % positions;
  }
};

Scores scores_of(const Dims& dims) {
  Scores scores{dims[0], dims[1], 1};
  for (size_t i = 2; i < dims.size(); ++i) scores.positions *= dims[i];
  return scores;
}

// Writes the loss, given what to subtract from the scores of each position to make them logarithms of probabilities.
template <typename T>
void write_loss(RunContext& c, const Scores& scores, const std::vector<double>& shifts) {
  using C = Compute<T>;
  const Node& node = c.node();
  const Ints targets = ints_of(c.input(kTarget));
  const T* x = c.input(0).as<T>();
  const T* weights = c.has(kWeight) ? c.input(kWeight).as<T>() : nullptr;
  const bool ignores = node.attrs.has("ignore_index");
  const int64_t ignored = ignores ? attr_int(node, "ignore_index") : 0;
  const bool reduced = reduces(node);
  double sum = 0, weight_sum = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const int64_t target = targets[i];
    double loss = 0;
    if (!ignores || target != ignored) {
      if (target < 0 || target >= scores.classes) {
        throw Error(ErrorCode::kInput, fmt::format("target {} is no class of {}", target, scores.classes),
                    {.node = node.name, .op = node.op});
      }
      const double weight = weights != nullptr ? static_cast<double>(static_cast<C>(weights[target])) : 1.0;
      const auto score = static_cast<double>(static_cast<C>(x[scores.at(static_cast<int64_t>(i), target)]));
      loss = -weight * (score - shifts[i]);
      weight_sum += weight;
    }
    sum += loss;
    if (!reduced) c.output(0).as<T>()[i] = static_cast<T>(static_cast<C>(loss));
  }
  if (!reduced) return;
  const double result = attr_string(node, "reduction") == "mean" ? sum / weight_sum : sum;
  *c.output(0).as<T>() = static_cast<T>(static_cast<C>(result));
}

void run_nll(RunContext& c) {
  const Scores scores = scores_of(c.input(0).dims);
  const std::vector<double> no_shifts(static_cast<size_t>(scores.batch * scores.positions), 0.0);
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) { write_loss<T>(c, scores, no_shifts); });
}

// Logarithms of the sums of exponentials over the classes, the largest taken out first.
template <typename T>
std::vector<double> log_sums(const T* x, const Scores& scores, int threads) {
  std::vector<double> result(static_cast<size_t>(scores.batch * scores.positions));
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < static_cast<int64_t>(result.size()); ++i) {
    const auto score = [&](int64_t k) { return static_cast<double>(static_cast<Compute<T>>(x[scores.at(i, k)])); };
    double largest = -INFINITY;
    for (int64_t k = 0; k < scores.classes; ++k) largest = std::max(largest, score(k));
    double sum = 0;
    for (int64_t k = 0; k < scores.classes; ++k) sum += std::exp(score(k) - largest);
    result[static_cast<size_t>(i)] = largest + std::log(sum);
  }
  return result;
}

void run_cross_entropy(RunContext& c) {
  const Scores scores = scores_of(c.input(0).dims);
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    const T* x = c.input(0).as<T>();
    const std::vector<double> shifts = log_sums(x, scores, c.threads());
    write_loss<T>(c, scores, shifts);
    if (!c.wants(kLogProb)) return;
    T* log_prob = c.output(kLogProb).as<T>();
    for (int64_t i = 0; i < static_cast<int64_t>(shifts.size()); ++i) {
      for (int64_t k = 0; k < scores.classes; ++k) {
        const int64_t at = scores.at(i, k);
        const double value = static_cast<double>(static_cast<Compute<T>>(x[at])) - shifts[static_cast<size_t>(i)];
        log_prob[at] = static_cast<T>(static_cast<Compute<T>>(value));
      }
    }
  });
}

std::vector<AxisRelation> axes_loss(const AxesContext& c) {
  const bool reduced = reduces(c.node());
  const bool log_prob = c.node().output(kLogProb).valid();
  std::vector<AxisRelation> relations{lock(in_axis(0, 1), "the targets name its entries")};
  if (log_prob) relations.push_back(lock(out_axis(kLogProb, 1), "it lists the classes"));
  for (size_t i = 0; i < c.input(0).size(); ++i) {
    if (i == 1) continue;
    const size_t at = i == 0 ? 0 : i - 1;
    if (reduced) {
      relations.push_back(lock(in_axis(0, i), "the loss counts its entries"));
      relations.push_back(lock(in_axis(kTarget, at), "the loss counts its entries"));
      if (log_prob) relations.push_back(lock(out_axis(kLogProb, i), "the loss counts its entries"));
      continue;
    }
    std::vector<AxisRef> refs{in_axis(0, i), in_axis(kTarget, at), out_axis(0, at)};
    if (log_prob) refs.push_back(out_axis(kLogProb, i));
    add_tie(relations, c.input(0)[i], std::move(refs));
  }
  return relations;
}

SampleInput classes(Dims dims, DType dtype = DType::kInt64) { return random_input(std::move(dims), 0, 4, dtype); }

std::vector<Sample> loss_samples() {
  const Attrs none{{"reduction", std::string("none")}};
  return {
      {.name = "mean", .inputs = {random_input({3, 5}, -4, 0), classes({3})}},
      {.name = "none_image",
       .inputs = {random_input({2, 5, 3, 4}, -4, 0), classes({2, 3, 4}, DType::kInt32)},
       .attrs = none},
      {.name = "sum_weighted",
       .inputs = {random_input({2, 5, 7}, -4, 0), classes({2, 7}), random_weight({5}, 0.1, 1)},
       .attrs = {{"reduction", std::string("sum")}}},
      {.name = "mean_weighted_ignoring",
       .inputs = {random_input({3, 5, 2}, -4, 0), fixed(Tensor::of<int64_t>({3, 2}, {0, -7, 4, 2, -7, 1})),
                  random_weight({5}, 0.1, 1)},
       .attrs = {{"ignore_index", int64_t{-7}}}},
      {.name = "none_ignoring_a_class",
       .inputs = {random_input({7, 5}, -4, 0), classes({7})},
       .attrs = {{"ignore_index", int64_t{2}}, {"reduction", std::string("none")}}},
      {.name = "float64", .inputs = {random_input({3, 5}, -4, 0, DType::kFloat64), classes({3})}, .attrs = none},
      {.name = "float16",
       .inputs = {random_input({3, 5}, -4, 0, DType::kFloat16), classes({3}),
                  random_weight({5}, 0.1, 1, DType::kFloat16)},
       .skip_onnx_runtime = true,
       .reason = "neither ONNX Runtime nor the reference implementation sums 16-bit losses in more than 16 bits"},
  };
}

std::vector<Sample> cross_entropy_samples() {
  std::vector<Sample> samples = loss_samples();
  samples.push_back({.name = "log_prob",
                     .inputs = {random_input({2, 5, 3}, -4, 4), classes({2, 3})},
                     .attrs = {{"reduction", std::string("none")}},
                     .outputs = 2});
  samples.push_back({.name = "log_prob_mean", .inputs = {random_input({3, 5}, -90, 90), classes({3})}, .outputs = 2});
  return samples;
}

OpRow loss_row(std::string name, std::string doc, std::string type, RunFn run, SamplesFn samples) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{"input"}, {"target", Role::kParameter}, {"weight", Role::kParameter, true}},
          .outputs = {{"loss"}},
          .attrs = {optional_attr("ignore_index", AttrType::kInt), string_attr("reduction", "mean")},
          .infer = infer_loss,
          .run = run,
          .quant = QuantRule::keep_float("a loss measures, it is no activation"),
          .axes = axes_loss,
          .spellings = onnx_since(std::move(type), 12),
          .samples = samples};
}

}  // namespace

void add_loss_op(OpTable& table) {
  table.add(loss_row("negative_log_likelihood_loss", "Negative log-likelihood of target classes.",
                     "NegativeLogLikelihoodLoss", run_nll, loss_samples));
  OpRow cross_entropy = loss_row("softmax_cross_entropy_loss", "Cross-entropy of target classes and softmax of scores.",
                                 "SoftmaxCrossEntropyLoss", run_cross_entropy, cross_entropy_samples);
  cross_entropy.outputs.push_back({.name = "log_prob", .optional = true});
  table.add(std::move(cross_entropy));
}

}  // namespace amct
