// `amct inspect`: what a model consists of and what can be quantized; `--text` prints the graph's text form.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "ir/text.h"
#include "workflow/inspect.h"
#include "workflow/model.h"

namespace amct {
namespace {

struct Arguments {
  std::filesystem::path model;
  bool text = false;
  bool prepared = false;
};

nlohmann::ordered_json to_json(const ModelFacts& facts) {
  using Json = nlohmann::ordered_json;
  const auto ports = [](const auto& list) {
    Json array = Json::array();
    for (const auto& [name, type] : list) {
      array.push_back({{"name", name}, {"type", name_of(type.dtype)}, {"shape", type.shape.to_string()}});
    }
    return array;
  };
  Json layers = Json::array();
  for (const LayerFacts& layer : facts.layers) {
    layers.push_back({{"name", layer.name},
                      {"type", layer.foreign_type},
                      {"output", layer.output},
                      {"parameters", layer.parameters},
                      {"macs", layer.macs},
                      {"quantizable", layer.quantizable},
                      {"reason", layer.reason}});
  }
  return {{"model", facts.path},           {"format", facts.format},          {"opset", facts.opset},
          {"bytes", facts.file_bytes},     {"parameters", facts.parameters},  {"macs", facts.macs},
          {"inputs", ports(facts.inputs)}, {"outputs", ports(facts.outputs)}, {"operators", facts.operators},
          {"layers", std::move(layers)}};
}

std::string to_table(const ModelFacts& facts) {
  std::string text =
      fmt::format("{}  {} opset {}, {}, {} parameters, {} MACs a sample\n", facts.path, facts.format, facts.opset,
                  human_bytes(facts.file_bytes), human_count(facts.parameters), human_count(facts.macs));
  for (const auto& [name, type] : facts.inputs) {
    text += fmt::format("input      {}  {} {}\n", name, name_of(type.dtype), type.shape.to_string());
  }
  for (const auto& [name, type] : facts.outputs) {
    text += fmt::format("output     {}  {} {}\n", name, name_of(type.dtype), type.shape.to_string());
  }
  text += "operators ";
  for (const auto& [name, count] : facts.operators) text += fmt::format(" {} {},", count, name);
  if (!facts.operators.empty()) text.back() = '\n';
  for (const auto& [name, reason] : facts.opaque) text += fmt::format("unknown    {}: {}\n", name, reason);

  size_t width = 8;
  int quantizable = 0;
  for (const LayerFacts& layer : facts.layers) {
    width = std::max(width, std::min<size_t>(layer.name.size(), 40));
    quantizable += layer.quantizable ? 1 : 0;
  }
  text += fmt::format("\n{} of {} layers can be quantized\n", quantizable, facts.layers.size());
  for (const LayerFacts& layer : facts.layers) {
    text += fmt::format("{:<{}}  {:<20} {:<28} {:>8} {:>8}  {}\n", layer.name, width, layer.foreign_type, layer.output,
                        layer.parameters > 0 ? human_count(layer.parameters) : "",
                        layer.macs > 0 ? human_count(layer.macs) : "",
                        layer.quantizable ? "quantizable" : "float: " + layer.reason);
  }
  return text;
}

}  // namespace

void add_inspect_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("inspect", "Show inputs, outputs, layers, and what can be quantized");
  command->footer("Example:\n  amct inspect model.onnx\n");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("model", arguments->model, "the model file")->required();
  command->add_flag("--text", arguments->text, "print the graph's text form");
  command->add_flag("--simplified", arguments->prepared, "show the graph as it is after simplification and fusion");
  command->callback([arguments, &global] {
    Graph graph = load_model(arguments->model);
    if (arguments->prepared) prepare(graph);
    if (arguments->text && !global.json) {
      print(to_text(graph));
      return;
    }
    const ModelFacts facts = inspect(graph);
    if (global.json) {
      print_json(to_json(facts));
    } else {
      print(to_table(facts));
    }
  });
}

}  // namespace amct
