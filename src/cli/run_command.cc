// `amct run`: runs a model on .npy inputs, saves its outputs as .npy, and says where the time goes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/suggestion.h"
#include "cli/command.h"
#include "data/npy.h"
#include "exec/profile.h"
#include "exec/session.h"
#include "report/profile_report.h"
#include "workflow/memory_need.h"
#include "workflow/model.h"

namespace amct {
namespace {

struct Arguments {
  std::filesystem::path model;
  std::vector<std::string> inputs;
  std::filesystem::path out;
  bool prepare = false;
  bool exact = false;
  bool profile = false;
  int runs = 10;  // under --profile
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
      throw Error(ErrorCode::kConfig, fmt::format("the model has no input '{}'", name), {.model = graph.info.path},
                  suggestion(name, names, fmt::format("its inputs are: {}", fmt::join(names, ", "))));
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

// Saves the outputs and says where.
nlohmann::ordered_json write_outputs(const Graph& graph, const std::vector<Tensor>& outputs,
                                     const std::filesystem::path& folder) {
  nlohmann::ordered_json written = nlohmann::ordered_json::array();
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    std::string name = graph.value(graph.outputs()[i]).name;
    std::replace(name.begin(), name.end(), '/', '_');
    const auto path = folder / (name + ".npy");
    write_npy(path, outputs[i].view());
    written.push_back({{"name", graph.value(graph.outputs()[i]).name},
                       {"type", name_of(outputs[i].dtype())},
                       {"shape", outputs[i].dims()},
                       {"file", path.string()}});
  }
  return written;
}

// One run that compiles, outside the profile, and `runs` in it.
Profile take_profile(Session& session, const std::vector<Tensor>& inputs, int runs) {
  session.run(inputs);
  Profile profile;
  for (int run = 0; run < runs; ++run) session.run(inputs, {}, &profile);
  return profile;
}

void run_model(const Arguments& arguments, const GlobalOptions& global) {
  Graph model = load_model(arguments.model);
  if (arguments.prepare) prepare(model);
  if (!arguments.exact) lower_for_execution(model);
  const auto graph = arguments.prepare ? executable(model) : std::make_shared<const Graph>(std::move(model));
  const std::vector<Tensor> inputs = read_inputs(*graph, arguments.inputs);
  Session session(graph, {.threads = global.worker_count()});
  require_memory_to_run({session.program(inputs)}, 1, {}, "running the model");
  nlohmann::ordered_json result{{"outputs", write_outputs(*graph, session.run(inputs), arguments.out)}};
  std::string text;
  for (const auto& output : result["outputs"]) {
    text += fmt::format("{}  {} {}\n", output["file"].get<std::string>(), output["type"].get<std::string>(),
                        output["shape"].dump());
  }
  if (arguments.profile) {
    const Profile profile = take_profile(session, inputs, arguments.runs);
    const auto trace = arguments.out / "trace.json";
    write_file(trace, profile_trace(profile));
    result["profile"] = profile_json(profile);
    result["profile"]["trace"] = trace.string();
    text += fmt::format("{}  for a browser's trace viewer\n\n{}", trace.string(), profile_text(profile));
  }
  global.json ? print_json(result) : print(text);
}

}  // namespace

void add_run_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("run", "Run a model on .npy inputs and save its outputs");
  command->footer(
      "Examples:\n  amct run model.onnx --input x=x.npy --out results/\n"
      "  amct run model.onnx --input x=x.npy --out results/ --prepare --profile\n");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("model", arguments->model, "the model file")->required();
  command->add_option("--input", arguments->inputs, "name=file.npy, once per input");
  command->add_option("--out", arguments->out, "folder for <output>.npy")->required();
  command->add_flag("--prepare", arguments->prepare, "simplify and fuse the model first, as quantize does");
  command->add_flag("--exact", arguments->exact, kExactHelp);
  auto* profile = command->add_flag("--profile", arguments->profile,
                                    "print the time of every layer, and write trace.json for a browser's trace viewer");
  command->add_option("--runs", arguments->runs, "runs that the profile takes the median of")
      ->needs(profile)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([arguments, &global] { run_model(*arguments, global); });
}

}  // namespace amct
