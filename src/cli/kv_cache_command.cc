// `amct kv-cache`: factors of the tensors that a decoder caches.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "workflow/kv_cache.h"

namespace amct {
namespace {

struct Arguments {
  KvCacheRequest request;
  DataArguments data;
};

nlohmann::ordered_json to_json(const KvCacheReport& report) {
  using Json = nlohmann::ordered_json;
  Json layers = Json::array();
  for (const KvCacheLayer& layer : report.layers) {
    Json scales = Json::array(), offsets = Json::array();
    for (const ScaleOffset& factor : layer.factors) {
      scales.push_back(factor.scale);
      offsets.push_back(factor.offset);
    }
    layers.push_back({{"layer", layer.layer},
                      {"granularity", layer.per_channel ? "per_channel" : "per_tensor"},
                      {"scale", std::move(scales)},
                      {"offset", std::move(offsets)}});
  }
  return {{"model", report.model},
          {"samples", report.samples},
          {"layers", std::move(layers)},
          {"warnings", report.warnings},
          {"file", report.file.path.string()}};
}

std::string to_text(const KvCacheReport& report) {
  std::string text = fmt::format(
      "calibrated {} of {} on {} samples\n",
      report.layers.size() == 1 ? "1 cached tensor" : fmt::format("{} cached tensors", report.layers.size()),
      report.model, report.samples);
  for (const KvCacheLayer& layer : report.layers) {
    const auto [least, most] = std::ranges::minmax(layer.factors, {}, &ScaleOffset::scale);
    text += layer.per_channel ? fmt::format("  {}: {} channels, scales {:.4g} to {:.4g}\n", layer.layer,
                                            layer.factors.size(), least.scale, most.scale)
                              : fmt::format("  {}: scale {:.4g}, offset {}\n", layer.layer, least.scale, least.offset);
  }
  for (const std::string& warning : report.warnings) text += fmt::format("warning    {}\n", warning);
  if (report.file.replaced)
    text += fmt::format("warning    {} was there before and is replaced\n", report.file.path.string());
  return text + fmt::format("wrote      {}\n", report.file.path.string());
}

}  // namespace

void add_kv_cache_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("kv-cache", "Write the factors of a decoder's key and value cache");
  command->footer(
      "Example:\n  amct kv-cache decoder.onnx --config cache.cfg --data tokens.npy --out out/decoder\n"
      "cache.cfg:\n  kv_cache_quant_config {\n    quant_layers: \"k_proj\"\n    quant_layers: \"v_proj\"\n"
      "    calibration_config { ifmr_quantize { quant_granularity: per_channel } }\n  }\n");
  auto arguments = std::make_shared<Arguments>();
  KvCacheRequest& request = arguments->request;
  command->add_option("model", request.model, "the model file, in float")->required();
  command->add_option("--config", request.config, "names the layers and how their ranges are chosen")->required();
  arguments->data.add_to(*command);
  command->add_option("--out", request.out_prefix, "prefix of the record file; missing folders are created")
      ->required();
  command->callback([arguments, &global] {
    KvCacheRequest job = arguments->request;
    job.data = arguments->data.data;
    job.data_options = arguments->data.options();
    job.samples = arguments->data.samples;
    job.batch = arguments->data.batch;
    job.workers = global.worker_count();
    const KvCacheReport report = kv_cache(job);
    if (global.json) return print_json(to_json(report));
    print(to_text(report));
  });
}

}  // namespace amct
