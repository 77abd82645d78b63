#include "cli/amct_onnx.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "cli/amct_onnx_flags.h"
#include "cli/convert_report.h"
#include "workflow/config_file.h"
#include "workflow/convert_qat.h"
#include "workflow/evaluator.h"
#include "workflow/quantize.h"

namespace amct {
namespace {

constexpr mode_t kNotForOthers = 0027;  // folders become 0750, files 0640

// Flags of AMCT's that mean something in another place, and in which.
using Elsewhere = std::vector<std::pair<std::string_view, std::string_view>>;
const Elsewhere kOtherFrameworks = {
    {"--weights", "it is for Caffe models; an ONNX model holds its weights, so leave it out"},
    {"--outputs", "it is for TensorFlow models; an ONNX model names its outputs, so leave it out"},
    {"--feature", "it is for TensorFlow models; 'calibration' quantizes, so leave it out"},
    {"--gpu_id", "it is for Caffe models; this program calibrates on the CPU, so leave it out"},
};
const Elsewhere kCalibrationOnly = {
    {"--input_shape", "it belongs to 'calibration'; 'convert' needs no data"},
    {"--data_dir", "it belongs to 'calibration'; 'convert' needs no data"},
    {"--data_types", "it belongs to 'calibration'; 'convert' needs no data"},
    {"--evaluator", "it belongs to 'calibration'; 'convert' needs no data"},
    {"--calibration_config", "it belongs to 'calibration'; 'convert' takes the factors that the model holds"},
    {"--batch_num", "it belongs to 'calibration'; 'convert' needs no data"},
};

struct Arguments {
  AmctOnnxFlags flags;
  std::vector<std::string> emit;
};

void add_elsewhere(CLI::App& command, const Elsewhere& flags) {
  for (const auto& [name, why] : flags) {
    command.add_option(std::string(name))->expected(0, 1)->group("");  // not in --help
  }
}

void check_elsewhere(const CLI::App& command, const Elsewhere& flags, Faults& faults) {
  for (const auto& [name, why] : flags) {
    if (command.get_option(std::string(name))->count() == 0) continue;
    faults.add(Error(ErrorCode::kConfig, fmt::format("{} has no meaning here", name), {}, std::string(why)));
  }
}

// As AMCT does, the last one of several holds.
void take_last(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (option->get_expected_max() == 1) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
}

void warn_of_repeated(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_multi_option_policy() != CLI::MultiOptionPolicy::TakeLast || option->results().size() < 2) continue;
    log_warning(fmt::format("{} is given more than once; the last one holds", option->get_name()));
  }
}

LogLevel level_of(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return LogLevel::kInfo;
  std::string name = value;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLevels = {{{"DEBUG", LogLevel::kDebug},
                                                                             {"INFO", LogLevel::kInfo},
                                                                             {"WARNING", LogLevel::kWarning},
                                                                             {"ERROR", LogLevel::kQuiet}}};
  for (const auto& [known, level] : kLevels) {
    if (name == known) return level;
  }
  throw Error(ErrorCode::kConfig, fmt::format("{} is '{}'", variable, value), {},
              "set it to DEBUG, INFO, WARNING or ERROR");
}

// A place that cannot be written to costs the log, not the work.
void begin_log(const GlobalOptions& global) {
  if (!global.quiet && !global.verbose) set_log_level(level_of("AMCT_LOG_LEVEL"));
  const LogLevel level = level_of("AMCT_LOG_FILE_LEVEL");
  try {
    open_log_file("amct_log/amct_onnx.log", level);
  } catch (const Error& error) {
    log_warning(fmt::format("no log is kept: {}", error.what()));
  }
}

void begin(const CLI::App& command, const GlobalOptions& global, const Elsewhere& elsewhere) {
  ::umask(kNotForOthers);
  begin_log(global);
  warn_of_repeated(command);
  Faults faults;
  check_elsewhere(command, kOtherFrameworks, faults);
  check_elsewhere(command, elsewhere, faults);
  faults.throw_if_any();
}

void log_lines(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    log_to_file(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void warn_of_replaced(const std::vector<OutputFile>& files) {
  for (const OutputFile& file : files) {
    if (file.replaced) log_warning(fmt::format("{} was there before and is overwritten", file.path.string()));
  }
}

void finish(QuantizeReport& report, const Arguments& arguments, const GlobalOptions& global) {
  warn_of_replaced(report.files);
  report.next = atc_command(arguments.flags, report.clustered > 0);
  log_lines(to_summary(report));
  if (global.json || log_level() >= LogLevel::kInfo) print_report(report, global);
}

// Batches that are asked for, if so: a plan has no number of them.
std::optional<int64_t> batches_of(const AmctOnnxFlags& flags) {
  if (flags.calibration_config.empty()) return flags.batch_num;
  return ConfigFile::read(flags.calibration_config).batch_num();
}

QuantizeRequest request_of(const Arguments& arguments, DataOptions data, std::optional<int64_t> batches) {
  const AmctOnnxFlags& flags = arguments.flags;
  QuantizeRequest request;
  request.model = flags.model;
  request.out_prefix = flags.save_path;
  request.config = flags.calibration_config;
  request.amct_defaults = true;
  request.plan_file = false;
  request.emit = arguments.emit.empty() ? std::set{Emit::kFake, Emit::kDeploy} : parse_emit(arguments.emit);
  request.data_options = std::move(data);
  // A plan says for itself whether biases are corrected.
  if (flags.calibration_config.empty() || batches) request.correct_bias = false;
  if (flags.evaluator) return request;
  request.batch = samples_in_batch(request.data_options, batches.value_or(1));
  if (!batches || flags.calibration_config.empty()) request.samples = batches.value_or(1) * request.batch;
  return request;
}

// Only HFMG follows the batches, and takes the samples so many at a time.
void warn_of_unequal(const std::vector<int64_t>& rows) {
  const auto other =
      std::ranges::find_if(rows.begin(), rows.end() - 1, [&](int64_t count) { return count != rows.front(); });
  const bool is_last_larger = rows.back() > rows.front();
  if (other == rows.end() - 1 && !is_last_larger) return;
  log_warning(fmt::format("calibration() runs batches of {} and of {} samples; hfmg takes {} at a time", rows.front(),
                          *other, rows.front()));
}

// The class feeds the calibration: all that it runs, or as many batches as asked for.
void calibration_with_evaluator(const Arguments& arguments, const GlobalOptions& global) {
  const AmctOnnxFlags& flags = arguments.flags;
  const std::optional<int64_t> batches = batches_of(flags);
  PythonEvaluator evaluator(*flags.evaluator);
  const ScratchFolder folder;
  std::vector<int64_t> rows = evaluator.calibrate(flags.model, folder.path());
  if (batches && *batches > static_cast<int64_t>(rows.size())) {
    throw Error(ErrorCode::kInput,
                fmt::format("calibration() runs the model {} times, batch_num is {}", rows.size(), *batches),
                {.file = *flags.evaluator}, "let it run more batches, or lower batch_num");
  }
  if (batches) rows.resize(static_cast<size_t>(*batches));
  warn_of_unequal(rows);
  QuantizeRequest request = request_of(arguments, {}, batches);
  request.data = folder.path();
  request.batch = std::max<int64_t>(1, rows.front());
  request.samples = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  request.workers = global.worker_count();
  QuantizeReport report = quantize(request, evaluator);
  if (!report.verdict->satisfied.value_or(true)) {
    log_warning("the evaluator is not satisfied with the quantized model: amct quantize --skip keeps layers float");
  }
  finish(report, arguments, global);
}

void calibration(const CLI::App& command, const Arguments& arguments, const GlobalOptions& global) {
  begin(command, global, {});
  DataOptions data = check_flags(arguments.flags);
  if (arguments.flags.evaluator) return calibration_with_evaluator(arguments, global);
  QuantizeRequest request = request_of(arguments, std::move(data), batches_of(arguments.flags));
  request.workers = global.worker_count();
  QuantizeReport report = quantize(request);
  finish(report, arguments, global);
}

void add_calibration(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("calibration", "Quantize a trained model with sample data");
  command->footer(
      "Example:\n  amct_onnx calibration --model model.onnx --save_path results/model --input_shape "
      "\"input:16,3,224,224\" --data_dir calibration/ --data_types float32\n");
  auto arguments = std::make_shared<Arguments>();
  AmctOnnxFlags& flags = arguments->flags;
  command->add_option("--model", flags.model, "the float model (.onnx)")->required();
  command->add_option("--save_path", flags.save_path, "folder and beginning of the files' names: results/model")
      ->required();
  command->add_option("--input_shape", flags.input_shape,
                      "shape of a batch of each input: \"name1:16,3,224,224;name2:16,10\"; one extent may be -1");
  command->add_option("--data_dir", flags.data_dir,
                      "folder of raw .bin files of each input, a batch in each file: \"data1/;data2/\"");
  command->add_option("--data_types", flags.data_types, "element type of each input's files: \"float32;int64\"");
  command->add_option("--evaluator", flags.evaluator,
                      "Python file with a class that calibrates and evaluates; instead of the three data flags");
  command->add_option("--calibration_config", flags.calibration_config,
                      "settings: AMCT's .cfg or JSON, or a plan; not with --batch_num");
  command->add_option("--batch_num", flags.batch_num, "batches to calibrate with (default: 1)")
      ->check(CLI::NonNegativeNumber);
  take_last(*command);
  command->add_option("--emit", arguments->emit, "models to write: fake, deploy, qdq (default: fake,deploy)")
      ->delimiter(',')
      ->check(CLI::IsMember({"fake", "deploy", "qdq"}));
  add_elsewhere(*command, kOtherFrameworks);
  command->callback([command, arguments, &global] { calibration(*command, *arguments, global); });
}

void convert_trained(const CLI::App& command, const Arguments& arguments, const GlobalOptions& global) {
  begin(command, global, kCalibrationOnly);
  check_save_path(arguments.flags.save_path);
  const ConvertReport report =
      convert_qat({.model = arguments.flags.model, .out_prefix = arguments.flags.save_path, .plan_file = false});
  warn_of_replaced(report.files);
  const std::string next = fmt::format("next       {}\n", atc_command(arguments.flags, false));
  log_lines(to_text(report) + next);
  if (!global.json && log_level() < LogLevel::kInfo) return;
  print_report(report, global);
  if (!global.json) print(next);
}

void add_convert(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("convert", "Convert a model that was trained with quantization");
  command->footer("Example:\n  amct_onnx convert --model qat.onnx --save_path results/model\n");
  auto arguments = std::make_shared<Arguments>();
  AmctOnnxFlags& flags = arguments->flags;
  command->add_option("--model", flags.model, "model with QuantizeLinear and DequantizeLinear nodes (.onnx)")
      ->required();
  command->add_option("--save_path", flags.save_path, "folder and beginning of the files' names: results/model")
      ->required();
  take_last(*command);
  add_elsewhere(*command, kOtherFrameworks);
  add_elsewhere(*command, kCalibrationOnly);
  command->callback([command, arguments, &global] { convert_trained(*command, *arguments, global); });
}

// The one flag that begins like `word`; `word` itself where none or several do.
std::string spelled_out(const CLI::App& command, const std::string& word) {
  const size_t end = std::min(word.find('='), word.size());
  const std::string_view given = std::string_view(word).substr(0, end);
  std::string found;
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    if (name == given) return word;
    if (!name.starts_with(given)) continue;
    if (!found.empty()) return word;
    found = name;
  }
  return found.empty() ? word : found + word.substr(end);
}

}  // namespace

bool is_amct_onnx(std::string_view program) {
  return program.substr(program.find_last_of('/') + 1) == "amct_onnx";  // npos + 1 is 0
}

void add_amct_onnx_commands(CLI::App& app, const GlobalOptions& global) {
  app.footer("Examples:\n  amct_onnx calibration --help\n  amct_onnx convert --help\n");
  add_calibration(app, global);
  add_convert(app, global);
}

std::vector<std::string> amct_onnx_arguments(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const CLI::App* command = nullptr;
  for (std::string& word : words) {
    if (command == nullptr) {
      const auto named = app.get_subcommands([&word](const CLI::App* sub) { return sub->get_name() == word; });
      if (!named.empty()) command = named.front();
    } else if (word.starts_with("--") && word.size() > 2) {
      word = spelled_out(*command, word);
    }
  }
  std::ranges::reverse(words);
  return words;
}

}  // namespace amct
