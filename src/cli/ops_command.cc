// `amct ops`: the operator table, for people, as JSON, or as docs/ops.md.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "report/ops_table.h"

namespace amct {

void add_ops_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("ops", "List the operators: versions, kernels, quantization rules");
  command->footer("Example:\n  amct ops --markdown > docs/ops.md\n");
  auto markdown = std::make_shared<bool>(false);
  command->add_flag("--markdown", *markdown, "as the page docs/ops.md");
  command->callback([markdown, &global] {
    if (global.json) {
      print_json(ops_json());
    } else {
      print(*markdown ? ops_markdown() : ops_text());
    }
  });
}

}  // namespace amct
