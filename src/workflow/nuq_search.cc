#include "workflow/nuq_search.h"

#include <algorithm>
#include <limits>

#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/balance_search.h"
#include "workflow/calibrate.h"
#include "workflow/compare.h"
#include "workflow/evaluate.h"
#include "workflow/memory_need.h"

namespace amct {
namespace {

constexpr int64_t kRankSamples = 8;

// The plan with non-uniform weights in these layers only.
Plan with_steps(const Graph& graph, const Plan& uniform, const std::vector<size_t>& layers, std::span<const int> steps,
                int workers) {
  Plan plan = uniform;
  for (const size_t i : layers) {
    plan.layers[i].weight->steps = steps[i];
    plan.layers[i].weight->scales.clear();  // filled with the clusters; the scales come out the same
  }
  fill_weight_scales(graph, plan, weight_workers(graph, workers));
  return plan;
}

class Search {
 public:
  Search(const std::shared_ptr<const Graph>& graph, const DataSource& source, const NuqSearch& options)
      : graph_(graph), source_(source), options_(options) {}

  double metric(const Plan& plan) {
    ++evaluations_;
    const Graph deploy = apply_ascend(with_corrected_biases(*graph_, plan), plan);
    auto fake = std::make_shared<const Graph>(ascend_to_fake_quant(deploy));
    if (!options_.labels.empty()) return evaluate(fake, source_, options_.labels, 0, options_.workers).top1;
    const CompareOptions outputs{.samples = options_.compared, .layers = false, .workers = options_.workers};
    return std::min(compare(graph_, fake, source_, outputs).logit_sqnr_db, 200.0);  // equal results: no infinity
  }

  // Candidates by the energy of the error that their few weights add to their result, largest first.
  std::vector<size_t> ranked(const Plan& uniform, std::vector<size_t> candidates, std::span<const int> steps) {
    const Plan all = with_steps(*graph_, uniform, candidates, steps, options_.workers);
    const auto before = layer_errors(*graph_, uniform, source_, kRankSamples, options_.workers);
    const auto after = layer_errors(*graph_, all, source_, kRankSamples, options_.workers);
    const auto harm = [&](size_t i) {
      return (after[i].error - before[i].error) / std::max(before[i].signal, std::numeric_limits<double>::min());
    };
    std::ranges::stable_sort(candidates, [&](size_t a, size_t b) { return harm(a) > harm(b); });
    return candidates;
  }

  int evaluations() const { return evaluations_; }

 private:
  const std::shared_ptr<const Graph>& graph_;
  const DataSource& source_;
  const NuqSearch& options_;
  int evaluations_ = 0;
};

}  // namespace

NuqOutcome choose_nuq_layers(const std::shared_ptr<const Graph>& graph, Plan& plan, std::span<const int> steps,
                             const DataSource& source, const NuqSearch& options) {
  Search search(graph, source, options);
  NuqOutcome outcome{.metric = options.labels.empty() ? "SQNR" : "top-1"};
  outcome.uniform = outcome.mixed = search.metric(plan);
  std::vector<size_t> order;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    if (plan.layers[i].quantize && plan.layers[i].weight && steps[i] > 0) order.push_back(i);
  }
  outcome.candidates = order.size();
  order = search.ranked(plan, std::move(order), steps);
  Plan best = plan;
  size_t low = 0, high = order.size();  // with `high` layers reverted all is well, below `low` it is not
  while (low < high) {
    const size_t reverted = outcome.evaluations == 0 ? 0 : (low + high) / 2;  // all non-uniform may do
    const std::vector<size_t> left(order.begin() + static_cast<ptrdiff_t>(reverted), order.end());
    Plan trial = with_steps(*graph, plan, left, steps, options.workers);
    calibrate(*graph, trial, source, options.samples, options.workers);  // ranges and biases follow the weights
    const double metric = search.metric(trial);
    outcome.evaluations = search.evaluations();
    if (metric >= outcome.uniform - options.loss) {
      high = reverted;
      best = std::move(trial);
      outcome.mixed = metric;
    } else {
      low = reverted + 1;
    }
  }
  outcome.evaluations = search.evaluations();
  for (size_t i = 0; i < high; ++i) outcome.reverted.push_back(plan.layers[order[i]].name);
  plan = std::move(best);
  return outcome;
}

}  // namespace amct
