#include "workflow/write_config.h"

#include "base/files.h"
#include "passes/quantize/plan_layers.h"
#include "recipe/amct_config/explicit_json.h"
#include "workflow/config_file.h"
#include "workflow/expand_config.h"
#include "workflow/model.h"

namespace amct {

WrittenConfig write_config(const std::filesystem::path& model, const std::filesystem::path& from,
                           const std::filesystem::path& out) {
  const ConfigFile config = from.empty() ? ConfigFile::defaults() : ConfigFile::read(from);
  Graph graph = load_model(model);
  prepare(graph, config.fuses(), {.skip_layers = config.skip_fusion()});
  const ExpandedConfig expanded = config.expand(graph, plan_layers(graph));
  const std::string text = config::format_explicit(expanded.config);
  if (!out.empty()) {
    OutputFiles files;
    files.add(out).write(text);
    files.commit();
  }
  return {text, expanded.config.layers.size(), expanded.downgrades};
}

}  // namespace amct
