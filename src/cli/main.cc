// The program: parses the command line, runs one subcommand, turns errors into one line and an exit code
// (0 done, 1 user error, 2 unsupported, 3 internal).
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/progress.h"
#include "base/suggestion.h"
#include "cli/amct_onnx.h"
#include "cli/command.h"
#include "cli/heap.h"
#include "cli/version.h"
#include "workflow/instruction_set.h"

namespace {

// One line, whatever names and paths of the user's files hold: control characters, which a terminal would obey, as
// \xNN.
void say_error(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    line += code < 0x20 || code == 0x7f ? fmt::format("\\x{:02x}", code) : std::string(1, c);
  }
  amct::log_error(line);
}

int report(const amct::Error& error) {
  if (const auto* list = dynamic_cast<const amct::ErrorList*>(&error)) {
    for (const amct::Error& item : list->errors()) say_error(item.what());
  } else {
    say_error(error.what());
  }
  return amct::exit_code(error.code());
}

// "there is no command 'quantise'; did you mean 'quantize'?"
std::string missing_command(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining();
  const auto word = std::find_if(rest.begin(), rest.end(), [](const std::string& text) { return text[0] != '-'; });
  if (word == rest.end()) {
    return fmt::format("no command is given; '{} --help' lists them", app.get_name());
  }
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
  return fmt::format("there is no command '{}'; {}", *word,
                     amct::suggestion(*word, names, fmt::format("'{} --help' lists them", app.get_name())));
}

// "'amct quantize' has no option '--dat'; did you mean '--data'?", "" unless an option is unknown.
std::string unknown_option(const CLI::App& app, const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* owner : {&app, &command}) {
    for (const CLI::Option* option : owner->get_options()) names.push_back(option->get_name());
  }
  for (std::string word : app.remaining(true)) {
    if (!word.starts_with("--")) continue;
    word.resize(std::min(word.find('='), word.size()));
    const std::string name = app.get_name() + " " + command.get_name();
    return fmt::format("'{}' has no option '{}'; {}", name, word,
                       amct::suggestion(word, names, fmt::format("see '{} --help'", name)));
  }
  return {};
}

// A message of CLI11 on one line, with what to do.
int report(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
  std::string command = app.get_name();
  for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
  std::string message = app.get_subcommands().empty() ? "" : unknown_option(app, *app.get_subcommands().front());
  if (app.get_subcommands().empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    message = missing_command(app);
  }
  if (!message.empty()) {
    say_error(message);
    return 1;
  }
  message = error.what();
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  say_error(fmt::format("{}; see '{} --help'", message, command));
  return 1;
}

// Where memory runs out in a destructor (of a JSON document, say) no handler is reached.
[[noreturn]] void end_without_memory() {
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    std::fputs("error: not enough memory; use fewer --threads or a smaller model\n", stderr);
    std::_Exit(1);
  } catch (...) {
  }
  std::abort();
}

void add_commands(CLI::App& app, const amct::GlobalOptions& global) {
  app.footer("Example:\n  amct quantize model.onnx --data images/ --preprocess imagenet --out out/model\n");
  amct::add_quantize_command(app, global);
  amct::add_calibrate_command(app, global);
  amct::add_convert_command(app, global);
  amct::add_kv_cache_command(app, global);
  amct::add_config_command(app, global);
  amct::add_evaluate_command(app, global);
  amct::add_compare_command(app, global);
  amct::add_inspect_command(app, global);
  amct::add_run_command(app, global);
  amct::add_ops_command(app, global);
  amct::add_passes_command(app, global);
  amct::add_completion_command(app);
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(end_without_memory);
  amct::set_up_heap();
  const bool as_amct_onnx = argc > 0 && amct::is_amct_onnx(argv[0]);
  CLI::App app{"amct makes neural networks smaller and faster.", as_amct_onnx ? "amct_onnx" : "amct"};
  app.set_version_flag("--version", app.get_name() + " " + amct::kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  amct::GlobalOptions global;
  if (argc > 0) global.program = argv[0];
  app.add_option("--threads", global.threads, "threads to use (default: all cores this process may use)")
      ->check(CLI::PositiveNumber);
  app.add_option("--isa", global.isa,
                 "use no instructions beyond these, so that processors of different ages compute the same bits")
      ->check(CLI::IsMember(amct::instruction_sets()));
  app.add_flag("--quiet,-q", global.quiet, "print errors and results only");
  app.add_flag("--verbose,-v", global.verbose, "say more about what happens");
  app.add_flag("--json", global.json, "print one JSON object on standard output, everything else on standard error");
  bool reports_progress = false;
  app.add_flag("--report-progress", reports_progress)->group("");  // for --workers, not in --help
  std::string max_memory;
  app.add_option("--max-memory", max_memory,
                 "refuse, with an estimate, what would take more: 500M, 2G (default: no limit)");
  app.parse_complete_callback([&global, &max_memory, &reports_progress] {
    if (reports_progress) amct::report_progress_in_lines();
    if (!max_memory.empty()) amct::set_memory_limit(amct::parse_memory_size(max_memory));
    if (!global.isa.empty()) amct::limit_instruction_set(global.isa);
    amct::set_log_level(global.quiet     ? amct::LogLevel::kQuiet
                        : global.verbose ? amct::LogLevel::kDebug
                                         : amct::LogLevel::kInfo);
  });

  try {
    if (as_amct_onnx) {
      amct::add_amct_onnx_commands(app, global);
      app.parse(amct::amct_onnx_arguments(app, argc, argv));
    } else {
      add_commands(app, global);
      app.parse(argc, argv);
    }
    return 0;
  } catch (const CLI::ParseError& error) {
    return report(app, error);
  } catch (const amct::Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    say_error("not enough memory; use fewer --threads or a smaller model");
    return 1;
  } catch (const std::system_error& error) {
    say_error(fmt::format("the system refuses a resource: {}; use fewer --threads", error.what()));
    return 1;
  } catch (const std::exception& error) {
    say_error(fmt::format("internal error: {}; please report it with the command that led here", error.what()));
    return 3;
  }
}
