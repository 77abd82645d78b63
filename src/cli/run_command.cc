// `amct run`: runs a model on .npy inputs and saves its outputs as .npy.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "data/npy.h"
#include "exec/session.h"
#include "workflow/model.h"

namespace amct {
namespace {

struct Arguments {
  std::filesystem::path model;
  std::vector<std::string> inputs;
  std::filesystem::path out;
};

// Tensors in the order of the graph's inputs, from "name=file.npy" (split at the first "=").
std::vector<Tensor> read_inputs(const Graph& graph, const std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  for (const ValueId id : graph.inputs()) names.push_back(graph.value(id).name);
  std::vector<Tensor> tensors(names.size());
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) {
      throw Error(ErrorCode::kConfig, fmt::format("--input {} is not of the form name=file.npy", argument));
    }
    const std::string name = argument.substr(0, equals);
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
      const std::string near = closest(name, names);
      throw Error(ErrorCode::kConfig, fmt::format("the model has no input '{}'", name), {.model = graph.info.path},
                  near.empty() ? fmt::format("its inputs are: {}", fmt::join(names, ", "))
                               : fmt::format("did you mean '{}'?", near));
    }
    Tensor& tensor = tensors[static_cast<size_t>(at - names.begin())];
    if (tensor) throw Error(ErrorCode::kConfig, fmt::format("--input {}=… is there twice", name));
    tensor = read_npy(argument.substr(equals + 1));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (!tensors[i]) {
      throw Error(ErrorCode::kConfig, fmt::format("input '{}' is missing", names[i]), {.model = graph.info.path},
                  fmt::format("give --input {}=file.npy", names[i]));
    }
  }
  return tensors;
}

}  // namespace

void add_run_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("run", "Run a model on .npy inputs and save its outputs");
  command->footer("Example:\n  amct run model.onnx --input x=x.npy --out results/\n");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("model", arguments->model, "the model file")->required();
  command->add_option("--input", arguments->inputs, "name=file.npy, once per input");
  command->add_option("--out", arguments->out, "folder for <output>.npy")->required();
  command->callback([arguments, &global] {
    auto graph = std::make_shared<const Graph>(load_model(arguments->model));
    const std::vector<Tensor> inputs = read_inputs(*graph, arguments->inputs);
    Session session(graph, {.threads = global.worker_count()});
    const std::vector<Tensor> outputs = session.run(inputs);
    nlohmann::ordered_json written = nlohmann::ordered_json::array();
    for (size_t i = 0; i < graph->outputs().size(); ++i) {
      std::string name = graph->value(graph->outputs()[i]).name;
      std::replace(name.begin(), name.end(), '/', '_');
      const auto path = arguments->out / (name + ".npy");
      write_npy(path, outputs[i].view());
      written.push_back({{"name", graph->value(graph->outputs()[i]).name},
                         {"type", name_of(outputs[i].dtype())},
                         {"shape", outputs[i].dims()},
                         {"file", path.string()}});
    }
    if (global.json) {
      print_json({{"outputs", written}});
    } else {
      for (const auto& output : written) {
        print(fmt::format("{}  {} {}\n", output["file"].get<std::string>(), output["type"].get<std::string>(),
                          output["shape"].dump()));
      }
    }
  });
}

}  // namespace amct
