// `amct passes`: the passes of all lists, in order: those of every written model, then those of models that are run.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "passes/pass.h"

namespace amct {

void add_passes_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("passes", "List the passes that simplify and fuse a model, and those before it is run");
  command->footer("Example:\n  amct passes\n");
  command->callback([&global] {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    std::string text;
    for (const auto& [stage, passes] :
         {std::pair{"simplify", &simplify_passes()}, std::pair{"fuse", &fusion_passes()},
          std::pair{"run", &execution_passes()}, std::pair{"run integers", &integer_passes()}}) {
      for (const PassInfo& pass : *passes) {
        list.push_back({{"name", pass.name}, {"stage", stage}, {"summary", pass.summary}});
        text += fmt::format("{:<13} {:<32} {}\n", stage, pass.name, pass.summary);
      }
    }
    if (global.json) {
      print_json({{"passes", list}});
    } else {
      print(text);
    }
  });
}

}  // namespace amct
