// Accuracy of a classifier on labelled samples.
#pragma once

#include <memory>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"

namespace amct {

struct Accuracy {
  double top1 = 0;  // percent
  double top5 = 0;
  int64_t samples = 0;
  double seconds = 0;  // of running, decoding included
};

// Runs the first `samples` (0 = all) and compares the classes of output 0, whose last axis holds the scores, with
// `labels` (one per sample). Throws Error(kInput) when a label is not a class of the output.
Accuracy evaluate(std::shared_ptr<const Graph> graph, const DataSource& source, const std::vector<int64_t>& labels,
                  int64_t samples, int workers);

}  // namespace amct
