#include "workflow/evaluate.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/clock.h"
#include "workflow/metrics.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

// Position of the label's score in descending order; equal scores of lower classes stand before it.
size_t rank_of(std::span<const float> scores, size_t label) {
  size_t rank = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] > scores[label] || (scores[i] == scores[label] && i < label)) ++rank;
  }
  return rank;
}

}  // namespace

Accuracy evaluate(std::shared_ptr<const Graph> graph, const DataSource& source, const std::vector<int64_t>& labels,
                  int64_t samples, int workers) {
  const auto start = Clock::now();
  const ValueId output = graph->outputs().at(0);
  const auto program = compile_for_samples(graph, source, {.threads = 1, .keep = graph->outputs()});
  const auto count = static_cast<size_t>(samples > 0 ? std::min<int64_t>(samples, static_cast<int64_t>(source.size()))
                                                     : static_cast<int64_t>(source.size()));
  std::vector<size_t> ranks(count);
  run_samples({program}, source, {.workers = workers, .samples = static_cast<int64_t>(count), .label = "evaluating"},
              {}, [&](const SampleRun& run) {
                for (size_t row = 0; row < run.valid; ++row) {
                  const size_t sample = run.first_sample + row;
                  std::vector<float> storage;
                  const auto scores = row_of(run.runners[0]->value(output), row, run.rows, storage);
                  const int64_t label = labels.at(sample);
                  if (label < 0 || label >= static_cast<int64_t>(scores.size())) {
                    throw Error(ErrorCode::kInput,
                                fmt::format("label {} of '{}' is not a class of the output, which has {}", label,
                                            source.sample_name(sample), scores.size()),
                                {.model = graph->info.path}, "check that the labels belong to this model");
                  }
                  ranks[sample] = rank_of(scores, static_cast<size_t>(label));
                }
              });
  Accuracy accuracy;
  accuracy.samples = static_cast<int64_t>(count);
  const auto share = [&](size_t k) {
    const auto hits = std::count_if(ranks.begin(), ranks.end(), [&](size_t rank) { return rank < k; });
    return count == 0 ? 0 : 100.0 * static_cast<double>(hits) / static_cast<double>(count);
  };
  accuracy.top1 = share(1);
  accuracy.top5 = share(5);
  accuracy.seconds = seconds_since(start);
  return accuracy;
}

}  // namespace amct
