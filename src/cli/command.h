// What the subcommands share: global options, the options that describe data, and how results are printed.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/source.h"
#include "workflow/products.h"

namespace amct {

struct QuantizeReport;
struct QuantizeRequest;

// Of the commands that run a model.
inline constexpr const char* kExactHelp =
    "compute a model with Q/DQ node by node; by default its layers run in integers and may differ by a quantum";

// Accepted before and after the subcommand.
struct GlobalOptions {
  std::string program = "amct";  // as the user typed it
  int threads = 0;               // 0 = all usable cores
  std::string isa;               // instruction set to limit all kernels to; empty = the processor's best
  bool quiet = false;
  bool verbose = false;
  bool json = false;

  int worker_count() const;
};

// Which data a command reads, and how: the same options wherever data is read.
struct DataArguments {
  std::filesystem::path data;
  std::string preprocess;
  std::vector<std::string> input_shapes;  // "name:1,3,224,224" as AMCT's command line
  std::vector<std::string> data_types;
  std::optional<int64_t> samples;
  int64_t batch = 1;

  void add_to(CLI::App& command, bool data_required = true);
  DataOptions options() const;   // throws Error(kConfig)
  std::string as_typed() const;  // "--data DIR --preprocess imagenet": the same data for another command
};

// The files that `--emit` names: "fake", "deploy", "qdq"; all of them for an empty list.
std::set<Emit> parse_emit(const std::vector<std::string>& names);

// Each adds one subcommand whose callback does the work.
void add_quantize_command(CLI::App& app, const GlobalOptions& global);
void add_calibrate_command(CLI::App& app, const GlobalOptions& global);
void add_convert_command(CLI::App& app, const GlobalOptions& global);
void add_kv_cache_command(CLI::App& app, const GlobalOptions& global);
void add_config_command(CLI::App& app, const GlobalOptions& global);
void add_evaluate_command(CLI::App& app, const GlobalOptions& global);
void add_compare_command(CLI::App& app, const GlobalOptions& global);
void add_inspect_command(CLI::App& app, const GlobalOptions& global);
void add_run_command(CLI::App& app, const GlobalOptions& global);
void add_ops_command(CLI::App& app, const GlobalOptions& global);
void add_passes_command(CLI::App& app, const GlobalOptions& global);
void add_completion_command(CLI::App& app);

// --resume and the like, of commands that calibrate.
void add_checkpoint_options(CLI::App& command, QuantizeRequest& request);

// Standard output: text for people, or the one JSON object under --json.
void print(const std::string& text);
void print_json(const nlohmann::ordered_json& object);
void print_report(const QuantizeReport& report, const GlobalOptions& global);

}  // namespace amct
