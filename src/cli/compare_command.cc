// `amct compare`: two models on the same samples, output by output and layer by layer, worst first.
#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "workflow/compare.h"
#include "workflow/model.h"

namespace amct {
namespace {

struct Arguments {
  std::filesystem::path original;
  std::filesystem::path compressed;
  DataArguments data;
  size_t layers = 10;
};

// Infinity has no form in JSON: equal values have a null SQNR.
nlohmann::ordered_json decibels(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json to_json(const std::vector<ValueComparison>& values) {
  auto array = nlohmann::ordered_json::array();
  for (const ValueComparison& value : values) {
    array.push_back({{"name", value.name},
                     {"op", value.op},
                     {"sqnr_db", decibels(value.sqnr_db)},
                     {"cosine", value.cosine},
                     {"largest_difference", value.largest_difference}});
  }
  return array;
}

std::string line(const ValueComparison& value) {
  return fmt::format("{:<40} {:>8} {:>10.6f} {:>12.6g}\n", value.name,
                     std::isfinite(value.sqnr_db) ? fmt::format("{:.2f}", value.sqnr_db) : "equal", value.cosine,
                     value.largest_difference);
}

std::string to_table(const Comparison& comparison, size_t layers) {
  std::string text = fmt::format("{:<40} {:>8} {:>10} {:>12}\n", "output", "SQNR dB", "cosine", "largest diff");
  for (const ValueComparison& output : comparison.outputs) text += line(output);
  if (comparison.classes) {
    text += fmt::format(
        "\nclasses: SQNR {:.2f} dB with softmax undone and each sample's mean removed; the same top class "
        "on {:.1f} % of {} samples\n",
        comparison.logit_sqnr_db, comparison.same_class_percent, comparison.samples);
  }
  if (!comparison.layers.empty()) text += fmt::format("\n{:<40}\n", "layers, worst first");
  for (size_t i = 0; i < comparison.layers.size() && i < layers; ++i) text += line(comparison.layers[i]);
  if (comparison.layers.size() > layers) {
    text += fmt::format("… {} more: --layers {}\n", comparison.layers.size() - layers, comparison.layers.size());
  }
  return text;
}

std::shared_ptr<const Graph> load(const std::filesystem::path& path) {
  Graph graph = load_model(path);
  if (!is_quantized(graph)) prepare(graph);
  return std::make_shared<const Graph>(std::move(graph));
}

}  // namespace

void add_compare_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("compare", "Compare two models, outputs and layer by layer");
  command->footer("Example:\n  amct compare model.onnx out/model_qdq.onnx --data val/ --preprocess imagenet\n");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("original", arguments->original, "the original model")->required();
  command->add_option("compressed", arguments->compressed, "the model made from it")->required();
  arguments->data.add_to(*command);
  command
      ->add_option("--layers", arguments->layers,
                   "layers to print, worst first; 0 compares outputs only, which is faster")
      ->capture_default_str();
  command->callback([arguments, &global] {
    const auto original = load(arguments->original);
    const auto compressed = load(arguments->compressed);
    const auto source = open_data(arguments->data.data, input_specs(*original), arguments->data.options());
    const Comparison comparison = compare(original, compressed, *source,
                                          {.samples = arguments->data.samples.value_or(0),
                                           .layers = arguments->layers > 0,
                                           .workers = global.worker_count()});
    if (global.json) {
      print_json({{"samples", comparison.samples},
                  {"logit_sqnr_db", decibels(comparison.logit_sqnr_db)},
                  {"same_class", comparison.classes ? nlohmann::ordered_json(comparison.same_class_percent)
                                                    : nlohmann::ordered_json(nullptr)},
                  {"outputs", to_json(comparison.outputs)},
                  {"layers", to_json(comparison.layers)}});
    } else {
      print(to_table(comparison, arguments->layers));
    }
  });
}

}  // namespace amct
