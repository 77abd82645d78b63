#include "cli/amct_onnx_flags.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked_math.h"
#include "base/error.h"
#include "base/process.h"
#include "cli/shapes.h"
#include "data/bin_folders.h"

namespace amct {
namespace {

constexpr std::string_view kShapeHint = "write it as \"input:1,3,224,224\", several separated by ';'";

// Those whose elements stand in files by themselves.
constexpr std::array kTypes = {DType::kFloat32, DType::kFloat16, DType::kFloat64, DType::kInt8,
                               DType::kInt16,   DType::kInt32,   DType::kInt64,   DType::kUInt8,
                               DType::kUInt16,  DType::kUInt32,  DType::kUInt64,  DType::kBool};

// Of several inputs; a last ';' ends the list.
std::vector<std::string> split_inputs(std::string_view text) {
  std::vector<std::string> parts = split_list(text, ';');
  if (parts.size() > 1 && parts.back().empty()) parts.pop_back();
  return parts;
}

class FlagChecker {
 public:
  explicit FlagChecker(const AmctOnnxFlags& flags) : flags_(flags) {}

  DataOptions run() {
    try {
      check_save_path(flags_.save_path);
    } catch (const Error& error) {
      faults_.add(error);
    }
    if (!flags_.calibration_config.empty() && flags_.batch_num) {
      fault("--calibration_config and --batch_num exclude each other",
            "write batch_num into the configuration, or leave one of the two out");
    }
    if (flags_.batch_num == 0) fault("--batch_num is 0: nothing would be calibrated", "give 1 or more");
    if (flags_.evaluator) {
      check_evaluator();
    } else {
      check_data();
    }
    faults_.throw_if_any();
    return std::move(data_);
  }

 private:
  void fault(std::string what, std::string_view hint) {
    faults_.add(Error(ErrorCode::kConfig, std::move(what), {}, std::string(hint)));
  }

  void check_evaluator() {
    for (const auto& [name, value] : data_flags()) {
      if (*value) fault(fmt::format("--evaluator and {} exclude each other", name), "an evaluator brings its own data");
    }
    const std::filesystem::path path = *flags_.evaluator;
    std::error_code error;
    if (path.extension() != ".py") {
      fault(fmt::format("--evaluator: '{}' is no Python file", path.string()), "give a .py file");
    } else if (!std::filesystem::is_regular_file(path, error)) {
      fault(fmt::format("--evaluator: there is no file '{}'", path.string()), "check the path");
    }
  }

  void check_data() {
    for (const auto& [name, value] : data_flags()) {
      if (!*value) fault(fmt::format("{} is missing", name), "without --evaluator it is required");
    }
    if (flags_.input_shape) parse_shapes();
    if (flags_.data_types) parse_types();
    if (flags_.data_dir) parse_folders();
    if (!flags_.input_shape || !flags_.data_types || !flags_.data_dir) return;
    const size_t shapes = split_inputs(*flags_.input_shape).size();
    const size_t types = split_inputs(*flags_.data_types).size(), folders = split_inputs(*flags_.data_dir).size();
    if (shapes == types && types == folders) return;
    fault(fmt::format("--input_shape names {} inputs, --data_dir {} folders and --data_types {} types", shapes, folders,
                      types),
          "give one of each for every input of the model");
  }

  void parse_shapes() {
    for (const std::string& text : split_inputs(*flags_.input_shape)) {
      const size_t colon = text.rfind(':');
      if (colon == std::string::npos || colon == 0) {
        fault(fmt::format("--input_shape: '{}' has no name and shape", text), kShapeHint);
        continue;
      }
      ShapeOption shape = parse_shape_option(text, "--input_shape", faults_);
      if (std::ranges::count(data_.bin_names, shape.name) > 0) {
        fault(fmt::format("--input_shape names '{}' twice", shape.name), "name every input once");
      }
      data_.bin_names.push_back(std::move(shape.name));
      data_.bin_shapes.push_back(std::move(shape.dims));
    }
  }

  void parse_types() {
    for (const std::string& text : split_inputs(*flags_.data_types)) {
      const auto dtype = dtype_from_name(text);
      if (!dtype || std::ranges::count(kTypes, *dtype) == 0) {
        fault(fmt::format("--data_types: '{}' is not an element type", text),
              "float32, float16, float64, int8 to int64, uint8 to uint64 and bool are");
      }
      data_.bin_types.push_back(dtype.value_or(DType::kFloat32));
    }
  }

  void parse_folders() {
    for (const std::string& text : split_inputs(*flags_.data_dir)) {
      std::error_code error;
      if (!std::filesystem::is_directory(text, error)) {
        fault(fmt::format("--data_dir: there is no folder '{}'", text), "give one folder for every input");
      }
      data_.bin_folders.emplace_back(text);
    }
  }

  std::vector<std::pair<std::string_view, const std::optional<std::string>*>> data_flags() const {
    return {
        {"--input_shape", &flags_.input_shape}, {"--data_dir", &flags_.data_dir}, {"--data_types", &flags_.data_types}};
  }

  const AmctOnnxFlags& flags_;
  DataOptions data_;
  Faults faults_;
};

}  // namespace

void check_save_path(const std::filesystem::path& path) {
  if (path.has_filename()) return;
  throw Error(ErrorCode::kConfig, fmt::format("--save_path: '{}' names a folder alone", path.string()), {},
              "add what the files' names are to begin with, like results/model");
}

DataOptions check_flags(const AmctOnnxFlags& flags) { return FlagChecker(flags).run(); }

int64_t samples_in_batch(const DataOptions& data, int64_t batches) {
  const auto files = open_bin_folder(data.bin_folders[0], data.bin_types[0], data.bin_shapes[0]);
  const int64_t batch = data.bin_shapes[0][0] == -1 ? files.front().rows() : data.bin_shapes[0][0];
  int64_t samples = 0;
  for (const StoredArray& file : files) samples += file.rows();
  const auto needed = checked_mul(batch, batches);
  if (!needed || *needed > samples) {
    throw data_error(
        fmt::format("{} batches of {} samples are to be read, but there are {} samples", batches, batch, samples),
        data.bin_folders[0].string(), "give more data, or a smaller batch_num");
  }
  return batch;
}

std::string atc_command(const AmctOnnxFlags& flags, bool compressible) {
  const std::string deploy = flags.save_path.string() + "_deploy_model";
  std::string text = fmt::format("atc --model={} --framework=5 --output={} --soc_version=$SOC_VERSION",
                                 shell_quoted(deploy + ".onnx"), shell_quoted(deploy));
  if (flags.input_shape) text += fmt::format(" --input_shape={}", shell_quoted(*flags.input_shape));
  if (compressible) text += " --enable_compress_weight=true";
  return text;
}

}  // namespace amct
