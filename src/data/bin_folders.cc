#include "data/bin_folders.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/suggestion.h"
#include "data/raw_arrays.h"

namespace amct {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> bin_files(const fs::path& folder) {
  std::vector<fs::path> files;
  size_t others = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code unknown;
    if (at->path().filename().string().starts_with('.') || !at->is_regular_file(unknown)) continue;
    if (at->path().extension() == ".bin") {
      files.push_back(at->path());
    } else {
      ++others;
    }
  }
  if (error) throw data_error(fmt::format("cannot read the folder: {}", error.message()), folder.string());
  if (files.empty()) throw data_error("no .bin files in the folder", folder.string(), "give it raw .bin files");
  if (others > 0) log_warning(fmt::format("{}: {} files that are not .bin are left out", folder.string(), others));
  std::ranges::sort(files, {}, [](const fs::path& path) { return path.filename().string(); });
  return files;
}

}  // namespace

std::vector<StoredArray> open_bin_folder(const fs::path& folder, DType dtype, const Dims& dims) {
  std::vector<StoredArray> arrays;
  for (const fs::path& file : bin_files(folder)) arrays.push_back(open_bin(file, dtype, dims));
  return arrays;
}

std::vector<std::unique_ptr<InputData>> open_bin_folders(const std::vector<InputSpec>& inputs,
                                                         const DataOptions& options) {
  const std::vector<std::string>& names = options.bin_names;
  AMCT_CHECK(names.size() == options.bin_folders.size() && names.size() == options.bin_shapes.size() &&
                 names.size() == options.bin_types.size(),
             "folders, names, shapes and types of unequal number");
  std::vector<std::string> known;
  for (const InputSpec& input : inputs) known.push_back(input.name);
  Faults faults;
  for (const std::string& name : names) {
    if (std::ranges::count(known, name) > 0) continue;
    faults.add(Error(ErrorCode::kConfig, fmt::format("the model has no input '{}'", name), {},
                     suggestion(name, known, "'amct inspect' lists the inputs")));
  }
  for (const std::string& name : known) {
    if (std::ranges::count(names, name) > 0) continue;
    faults.add(Error(ErrorCode::kConfig, fmt::format("input '{}' of the model has no data", name), {},
                     "give its shape, type and folder as well"));
  }
  faults.throw_if_any();
  std::vector<std::unique_ptr<InputData>> data;
  for (const InputSpec& input : inputs) {
    const auto at = static_cast<size_t>(std::ranges::find(names, input.name) - names.begin());
    auto arrays = open_bin_folder(options.bin_folders[at], options.bin_types[at], options.bin_shapes[at]);
    data.push_back(make_array_data(std::move(arrays), input, std::nullopt));
  }
  return data;
}

}  // namespace amct
