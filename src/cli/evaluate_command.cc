// `amct evaluate`: top-1 and top-5 accuracy of a float, fake-quant, QDQ or deploy model.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "workflow/evaluate.h"
#include "workflow/model.h"

namespace amct {
namespace {

struct Arguments {
  std::filesystem::path model;
  std::filesystem::path labels;
  DataArguments data;
  bool exact = false;
};

}  // namespace

void add_evaluate_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("evaluate", "Measure the accuracy of a classifier on labelled data");
  command->footer("Example:\n  amct evaluate model.onnx --data val/ --labels val/labels.txt --preprocess imagenet\n");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("model", arguments->model, "the model file")->required();
  arguments->data.add_to(*command);
  command->add_option("--labels", arguments->labels, "file with one 'name class' pair a line, or .npy or idx")
      ->required();
  command->add_flag("--exact", arguments->exact, kExactHelp);
  command->callback([arguments, &global] {
    Graph graph = load_model(arguments->model);
    if (!is_quantized(graph)) prepare(graph);
    if (!arguments->exact) lower_for_execution(graph);
    const auto source = open_data(arguments->data.data, input_specs(graph), arguments->data.options());
    const std::vector<int64_t> labels = read_labels(arguments->labels, *source);
    const Accuracy accuracy = evaluate(std::make_shared<const Graph>(std::move(graph)), *source, labels,
                                       arguments->data.samples.value_or(0), global.worker_count());
    if (global.json) {
      print_json({{"model", arguments->model.string()},
                  {"top1", accuracy.top1},
                  {"top5", accuracy.top5},
                  {"samples", accuracy.samples},
                  {"seconds", accuracy.seconds}});
    } else {
      print(fmt::format("top-1 {:.2f} %  top-5 {:.2f} %  {} samples in {:.2f} s ({:.0f} a second)\n", accuracy.top1,
                        accuracy.top5, accuracy.samples, accuracy.seconds,
                        static_cast<double>(accuracy.samples) / std::max(accuracy.seconds, 1e-9)));
    }
  });
}

}  // namespace amct
