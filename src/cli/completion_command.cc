// `amct completion`: shell completion scripts, generated from the very options that the program parses.
#include <fmt/core.h>

#include <memory>

#include "cli/command.h"

namespace amct {
namespace {

// Long options of one command, and the global ones.
std::string options_of(const CLI::App& command) {
  std::string words;
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) words += fmt::format(" --{}", name);
    }
  }
  return words;
}

std::string bash_script(const CLI::App& app) {
  std::string commands;
  std::string cases;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands += " " + command->get_name();
    cases += fmt::format("    {}) options=\"{}\" ;;\n", command->get_name(), options_of(*command));
  }
  return fmt::format(
      R"(_amct() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" command="" options="{0}" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{COMP_WORDS[i]}}" in -*) ;; *) command="${{COMP_WORDS[i]}}"; break ;; esac
  done
  case "$command" in
    "") options="{1}{0}" ;;
{2}  esac
  if [[ "$word" == -* || -z "$command" ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _amct amct
)",
      options_of(app), commands, cases);
}

}  // namespace

void add_completion_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  command->footer(
      "Example:\n  source <(amct completion bash)      zsh: autoload -U bashcompinit; bashcompinit first\n");
  auto shell = std::make_shared<std::string>("bash");
  command->add_option("shell", *shell, "bash or zsh")->check(CLI::IsMember({"bash", "zsh"}))->capture_default_str();
  command->callback([shell, &app] {
    print((*shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "") + bash_script(app));
  });
}

}  // namespace amct
