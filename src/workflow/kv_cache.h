// The verb `kv-cache`: factors for the tensors that a decoder caches, the outputs of its K and V projections (spec
// C.20, B.5). The network runs in float and is not rewritten; the record file is all that is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/source.h"
#include "plan/plan.h"
#include "workflow/products.h"

namespace amct {

struct KvCacheRequest {
  std::filesystem::path model, data, out_prefix;
  std::filesystem::path config;  // spec B.5
  DataOptions data_options;
  std::optional<int64_t> samples;  // not set: as the configuration says, else 64
  int64_t batch = 1;               // samples in one of the configuration's batches
  int workers = 1;
};

struct KvCacheLayer {
  std::string layer;
  bool per_channel = false;
  std::vector<ScaleOffset> factors;  // one, or one per index of the last axis
};

struct KvCacheReport {
  std::string model;
  int64_t samples = 0;
  std::vector<KvCacheLayer> layers;
  std::vector<std::string> warnings;
  OutputFile file;
};

// Factors depend on the samples alone: on neither their order nor batches nor workers. Writes nothing unless everything
// succeeded. Throws ErrorList of Error(kConfig) with all faults of the configuration: unknown layers (with the nearest
// one), layers that are no linear layer.
KvCacheReport kv_cache(const KvCacheRequest& request);

}  // namespace amct
