// What `--config` takes: amct's plan, AMCT's explicit JSON or AMCT's simplified configuration, told apart by content.
//
// A file is read before the model is touched (some settings steer the fusion), applied once the model's own plan is
// known.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "passes/pass.h"
#include "plan/plan.h"
#include "recipe/amct_config/quant_config.h"
#include "recipe/plan_json.h"
#include "workflow/expand_config.h"

namespace amct {

class ConfigFile {
 public:
  // Throws ErrorList of Error(kConfig) with all faults that the file alone shows.
  static ConfigFile read(const std::filesystem::path& path);
  static ConfigFile defaults() { return {{}, config::SimpleConfig{}}; }  // of AMCT's simplified configuration

  bool fuses() const;                            // false: `do_fusion: false`
  std::vector<std::string> skip_fusion() const;  // layers that nothing is folded into
  std::optional<int64_t> batch_num() const;      // of AMCT's forms

  // Writes the settings into the model's own plan; layers and tensors that a plan file does not name keep theirs, of
  // AMCT's explicit JSON they stay float. A layer that cannot be quantized stays float for its own reason, with a
  // warning. What a layer cannot have is downgraded: a line in `plan.downgrades`. Throws ErrorList of Error(kConfig)
  // with all faults; Error(kUnsupported) for settings that are not offered.
  void apply(const Graph& graph, Plan& plan) const;

  // The explicit form for the model, for `amct config`; Error(kConfig) for a plan file.
  ExpandedConfig expand(const Graph& graph, const Plan& plan) const;

 private:
  using Content = std::variant<PlanFile, config::SimpleConfig, config::ExplicitConfig>;
  ConfigFile(std::string path, Content content) : path_(std::move(path)), content_(std::move(content)) {}
  const config::ModelSettings* model_settings() const;

  std::string path_;
  Content content_;
};

}  // namespace amct
