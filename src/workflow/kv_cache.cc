#include "workflow/kv_cache.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "base/files.h"
#include "base/suggestion.h"
#include "base/thread_pool.h"
#include "exec/observer.h"
#include "passes/quantize/clip_search.h"
#include "passes/quantize/plan_layers.h"
#include "recipe/amct_config/kv_cache_cfg.h"
#include "recipe/record_file.h"
#include "workflow/model.h"
#include "workflow/sample_count.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

using config::KvCacheConfig;
using config::KvCacheSettings;
using config::Named;

constexpr uint64_t kStatisticsBytes = 48 << 10;  // of one factor, about

struct Cached {
  std::string layer;
  ValueId value;
  KvCacheSettings settings;
  size_t channels = 1;  // factors
  size_t axis = 0;      // of the channels, in memory
  size_t tail = 1;      // values that a statistic keeps exactly at each end
};

bool is_linear(const Graph& graph, const Node& node) {
  if (node.op != "gemm" && node.op != "matmul") return false;
  const Tensor* weight = graph.constant(node.input(1));
  return weight != nullptr && weight->rank() == 2;
}

// Every named layer with its settings, in the order of the configuration.
class Chooser {
 public:
  Chooser(const KvCacheConfig& config, const Graph& graph, const std::string& file)
      : config_(config), graph_(graph), file_(file) {
    for (const NodeId id : graph.nodes()) {
      if (is_linear(graph, graph.node(id))) linear_.push_back(graph.node(id).name);
    }
  }

  std::vector<Cached> run() {
    for (const Named& layer : config_.layers) add(layer, settings_of(layer.name));
    for (const auto& [layer, settings] : config_.overrides) {
      if (std::ranges::find(config_.layers, layer.name, &Named::name) == config_.layers.end()) add(layer, settings);
    }
    faults_.throw_if_any();
    return std::move(chosen_);
  }

 private:
  const KvCacheSettings& settings_of(const std::string& layer) const {
    const auto at = std::ranges::find(config_.overrides, layer, [](const auto& item) { return item.first.name; });
    return at == config_.overrides.end() ? config_.common : at->second;
  }

  void fault(const Named& at, const std::string& what, const std::string& hint) {
    faults_.add(Error(ErrorCode::kConfig, what, {.file = file_, .line = at.line, .column = at.column}, hint));
  }

  void add(const Named& name, KvCacheSettings settings) {
    const NodeId id = graph_.find_node(name.name);
    if (!id.valid()) {
      return fault(name, fmt::format("the model has no layer '{}'", name.name),
                   suggestion(name.name, linear_, "'amct inspect' lists the layers"));
    }
    if (!is_linear(graph_, graph_.node(id))) {
      return fault(name, fmt::format("layer '{}' is a {}", name.name, foreign_type(graph_.node(id))),
                   "a cache is calibrated behind a Gemm or a MatMul with a constant matrix");
    }
    const NodeId bias = bias_add_of(graph_, id);
    const ValueId value = graph_.node(bias.valid() ? bias : id).output();
    const Shape& shape = graph_.value(value).type.shape;
    Cached cached{.layer = name.name, .value = value, .settings = settings};
    if (!cached.settings.activation.asymmetric) cached.settings.activation.asymmetric = config_.activation_offset;
    if (settings.per_channel) {
      if (shape.rank() == 0 || !shape[shape.rank() - 1].is_fixed()) {
        return fault(name, fmt::format("the channels of layer '{}' are not known", name.name), "use per_tensor");
      }
      if (shape[shape.rank() - 1].extent() < 1) {
        return fault(name, fmt::format("layer '{}' has no channels", name.name), "take it out");
      }
      cached.channels = static_cast<size_t>(shape[shape.rank() - 1].extent());
    }
    chosen_.push_back(std::move(cached));
  }

  const KvCacheConfig& config_;
  const Graph& graph_;
  const std::string& file_;
  std::vector<std::string> linear_;
  std::vector<Cached> chosen_;
  Faults faults_;
};

ActivationPlan activation_of(const KvCacheSettings& settings) {
  return {.asymmetric = *settings.activation.asymmetric, .search = settings.activation.search};
}

// One worker's statistics of one layer: an observer for each factor.
class Statistics {
 public:
  explicit Statistics(const Cached& cached) : axis_(cached.axis) {
    for (size_t i = 0; i < cached.channels; ++i) observers_.emplace_back(cached.tail);
  }

  void add(const TensorView& view) {
    if (observers_.size() == 1) return observers_[0].observe(view);
    const size_t bytes = element_bytes(view.dtype);
    int64_t inner = 1;
    for (size_t i = axis_ + 1; i < view.dims.size(); ++i) inner *= view.dims[i];
    const auto channels = static_cast<int64_t>(observers_.size());
    const int64_t outer = view.size() / (channels * inner);
    slice_.resize(static_cast<size_t>(outer * inner) * bytes);
    const auto* from = static_cast<const std::byte*>(view.data);
    const size_t row = static_cast<size_t>(inner) * bytes;
    for (int64_t channel = 0; channel < channels; ++channel) {
      for (int64_t o = 0; o < outer; ++o) {
        std::memcpy(slice_.data() + static_cast<size_t>(o) * row,
                    from + static_cast<size_t>(o * channels + channel) * row, row);
      }
      TensorView part = view;
      part.data = slice_.data();
      part.dims = {outer * inner};
      observers_[static_cast<size_t>(channel)].observe(part);
    }
  }
  void merge(const Statistics& other) {
    for (size_t i = 0; i < observers_.size(); ++i) observers_[i].merge(other.observers_[i]);
  }
  const Observer& observer(size_t i) const { return observers_[i]; }

 private:
  size_t axis_;
  std::vector<Observer> observers_;
  std::vector<std::byte> slice_;
};

std::vector<Statistics> statistics_for(const std::vector<Cached>& cached) {
  std::vector<Statistics> result;
  for (const Cached& item : cached) result.emplace_back(item);
  return result;
}

// Of all workers together, by layer.
std::vector<Statistics> observe(const std::shared_ptr<const Graph>& graph, std::vector<Cached>& cached,
                                const DataSource& source, int64_t samples, int workers) {
  CompileOptions options{.threads = 1};
  std::unordered_map<ValueId, std::vector<size_t>> readers;
  uint64_t factors = 0;
  for (size_t i = 0; i < cached.size(); ++i) {
    if (readers[cached[i].value].empty()) options.observe.push_back(cached[i].value);
    readers[cached[i].value].push_back(i);
    factors += cached[i].channels;
  }
  const auto program = compile_for_samples(graph, source, options);
  for (Cached& item : cached) {
    const Shape& shape = program->type(item.value).shape;
    const auto count = static_cast<uint64_t>(shape.element_count().value_or(1) * samples) / item.channels;
    const ClipSearch& search = item.settings.activation.search;
    item.tail = Histogram::tail_capacity(std::min(search.max_percentile, search.min_percentile), count);
    item.axis = memory_axis(shape.rank() - 1, shape.rank(), program->observed_layout(item.value));
  }
  std::vector<std::vector<Statistics>> by_worker(static_cast<size_t>(workers));
  run_samples(
      {program}, source,
      {.workers = workers, .samples = samples, .label = "calibrating", .worker_bytes = factors * kStatisticsBytes},
      [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
        std::vector<Statistics>& own = by_worker[run.worker];
        if (own.empty()) own = statistics_for(cached);
        const TensorView valid = valid_rows(view, run);
        for (const size_t i : readers.at(id)) own[i].add(valid);
      },
      {});
  std::vector<Statistics> merged = statistics_for(cached);
  for (const auto& own : by_worker) {
    for (size_t i = 0; i < own.size(); ++i) merged[i].merge(own[i]);
  }
  return merged;
}

void choose_factors(const std::vector<Cached>& cached, const std::vector<Statistics>& statistics, int workers,
                    KvCacheReport& report) {
  report.layers.resize(cached.size());
  std::vector<std::vector<std::string>> warnings(cached.size());
  parallel_for(cached.size(), workers, [&](int, size_t i) {
    const Cached& item = cached[i];
    const ActivationPlan activation = activation_of(item.settings);
    report.layers[i] = {.layer = item.layer, .per_channel = item.settings.per_channel, .factors = {}};
    for (size_t channel = 0; channel < item.channels; ++channel) {
      try {
        const FactorChoice chosen = choose_factor(statistics[i].observer(channel).finish(), activation);
        report.layers[i].factors.push_back(chosen.factor);
        if (chosen.warning.empty()) continue;
        warnings[i].push_back(item.channels == 1
                                  ? fmt::format("{}: {}", item.layer, chosen.warning)
                                  : fmt::format("{}, channel {}: {}", item.layer, channel, chosen.warning));
      } catch (const Error& error) {
        throw error.with({.model = report.model, .node = item.layer});
      }
    }
  });
  for (const auto& list : warnings) report.warnings.insert(report.warnings.end(), list.begin(), list.end());
}

std::string records_text(const KvCacheReport& report) {
  std::vector<LayerRecord> records;
  for (const KvCacheLayer& layer : report.layers) {
    LayerRecord record;
    record.key = layer.layer;
    for (const ScaleOffset& factor : layer.factors) {
      record.kv_scale.push_back(factor.scale);
      record.kv_offset.push_back(factor.offset);
    }
    records.push_back(std::move(record));
  }
  return format_records(records);
}

}  // namespace

KvCacheReport kv_cache(const KvCacheRequest& request) {
  const KvCacheConfig config = config::parse_kv_cache_cfg(read_text(request.config), request.config.string());
  Graph graph = load_float_model(request.model);
  KvCacheReport report{.model = request.model.string(), .layers = {}, .warnings = {}, .file = {}};
  prepare(graph);
  std::vector<Cached> cached = Chooser(config, graph, request.config.string()).run();
  const auto source = open_data(request.data, input_specs(graph), request.data_options);
  const int64_t wanted = samples_to_read(request.samples, config.batch_num, request.batch, report.warnings);
  report.samples = std::min<int64_t>(wanted, static_cast<int64_t>(source->size()));
  if (report.samples < wanted) {
    report.warnings.push_back(fmt::format("only {} samples are there, {} were asked for", report.samples, wanted));
  }
  const auto statistics =
      observe(std::make_shared<const Graph>(std::move(graph)), cached, *source, report.samples, request.workers);
  choose_factors(cached, statistics, request.workers, report);

  report.file = {request.out_prefix.string() + "_record.txt", 0, "factors of the KV cache", false};
  std::error_code error;
  report.file.replaced = std::filesystem::exists(report.file.path, error);
  OutputFiles files;
  files.add(report.file.path).write(records_text(report));
  files.commit();
  report.file.bytes = std::filesystem::file_size(report.file.path);
  return report;
}

}  // namespace amct
