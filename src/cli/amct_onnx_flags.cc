#include "cli/amct_onnx_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked_math.h"
#include "base/error.h"
#include "data/bin_folders.h"

namespace amct {
namespace {

constexpr std::string_view kShapeHint = "write it as \"input:1,3,224,224\", several separated by ';'";

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

// Those whose elements stand in files by themselves.
constexpr std::array kTypes = {DType::kFloat32, DType::kFloat16, DType::kFloat64, DType::kInt8,
                               DType::kInt16,   DType::kInt32,   DType::kInt64,   DType::kUInt8,
                               DType::kUInt16,  DType::kUInt32,  DType::kUInt64,  DType::kBool};

// Parts between separators, without the blanks around them. A last separator ends the list.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (parts.size() > 1 && parts.back().empty() && separator == ';') parts.pop_back();
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
    const size_t shapes = split(*flags_.input_shape, ';').size();
    const size_t types = split(*flags_.data_types, ';').size(), folders = split(*flags_.data_dir, ';').size();
    if (shapes == types && types == folders) return;
    fault(fmt::format("--input_shape names {} inputs, --data_dir {} folders and --data_types {} types", shapes, folders,
                      types),
          "give one of each for every input of the model");
  }

  // The last ':' ends the name, which may hold others.
  void parse_shapes() {
    for (const std::string& text : split(*flags_.input_shape, ';')) {
      const size_t colon = text.rfind(':');
      if (colon == std::string::npos || colon == 0) {
        fault(fmt::format("--input_shape: '{}' has no name and shape", text), kShapeHint);
        continue;
      }
      const std::string name = trimmed(text.substr(0, colon));
      if (std::ranges::count(data_.bin_names, name) > 0) {
        fault(fmt::format("--input_shape names '{}' twice", name), "name every input once");
      }
      data_.bin_names.push_back(name);
      data_.bin_shapes.push_back(parse_extents(name, text.substr(colon + 1)));
    }
  }

  Dims parse_extents(const std::string& name, const std::string& text) {
    Dims dims;
    for (const std::string& part : split(text, ',')) {
      int64_t extent = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), extent);
      if (error != std::errc() || end != part.data() + part.size() || (extent <= 0 && extent != -1)) {
        fault(fmt::format("--input_shape: '{}' is no extent of '{}'", part, name), kShapeHint);
      }
      dims.push_back(extent);
    }
    if (std::ranges::count(dims, -1) > 1) {
      fault(fmt::format("--input_shape: '{}' has more than one -1", name), "one extent can follow from a file's size");
    }
    return dims;
  }

  void parse_types() {
    for (const std::string& text : split(*flags_.data_types, ';')) {
      const auto dtype = dtype_from_name(text);
      if (!dtype || std::ranges::count(kTypes, *dtype) == 0) {
        fault(fmt::format("--data_types: '{}' is not an element type", text),
              "float32, float16, float64, int8 to int64, uint8 to uint64 and bool are");
      }
      data_.bin_types.push_back(dtype.value_or(DType::kFloat32));
    }
  }

  void parse_folders() {
    for (const std::string& text : split(*flags_.data_dir, ';')) {
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

// As a shell takes it for one word.
std::string quoted(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

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
                                 quoted(deploy + ".onnx"), quoted(deploy));
  if (flags.input_shape) text += fmt::format(" --input_shape={}", quoted(*flags.input_shape));
  if (compressible) text += " --enable_compress_weight=true";
  return text;
}

}  // namespace amct
