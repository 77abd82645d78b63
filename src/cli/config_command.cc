// `amct config`: writes a model's settings in AMCT's explicit form, for editing (AMCT's create_quant_config).
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "cli/command.h"
#include "recipe/amct_config/explicit_json.h"
#include "recipe/amct_config/option_table.h"
#include "workflow/write_config.h"

namespace amct {
namespace {

struct Arguments {
  std::filesystem::path model, from, out;
  bool options = false;
};

}  // namespace

void add_config_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("config", "Write a model's settings as AMCT's JSON, for editing");
  command->footer(
      "Examples:\n  amct config model.onnx --out model.json\n  amct config model.onnx --from rules.cfg --out "
      "model.json\n  amct config --options > docs/configuration.md\n");
  auto arguments = std::make_shared<Arguments>();
  CLI::Option* model = command->add_option("model", arguments->model, "the model file");
  command->add_option("--from", arguments->from, "a simplified configuration (.cfg); without it, the defaults");
  CLI::Option* out = command->add_option("--out", arguments->out, "file to write; without it, standard output");
  command->add_flag("--options", arguments->options, "print what the fields of a configuration mean")
      ->excludes(model)
      ->excludes(out);
  command->callback([arguments, &global] {
    if (arguments->options) return print(config::options_markdown());
    if (arguments->model.empty()) throw Error(ErrorCode::kConfig, "a model is missing", {}, "see 'amct config --help'");
    const WrittenConfig written = write_config(arguments->model, arguments->from, arguments->out);
    if (arguments->out.empty()) return print(written.text);
    if (global.json) {
      print_json({{"layers", written.layers}, {"downgrades", written.downgrades}, {"file", arguments->out.string()}});
      return;
    }
    for (const std::string& line : written.downgrades) print(fmt::format("downgrade  {}\n", line));
    print(fmt::format("wrote      {} ({} layers)\n", arguments->out.string(), written.layers));
  });
}

}  // namespace amct
