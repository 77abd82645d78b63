#include "data/source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>

#include "data/bin_folders.h"
#include "data/image.h"
#include "data/input_data.h"
#include "data/npy.h"
#include "data/raw_arrays.h"

namespace amct {
namespace {

namespace fs = std::filesystem;

enum class Kind { kOther, kImage, kNpy, kNpz, kBin, kProto, kIdx };

constexpr std::string_view kKnownFiles = "JPEG and PNG images, .npy, .npz, .bin, idx and .pb (TensorProto) files";

Kind kind_of_name(const fs::path& path) {
  std::string name = path.filename().string();
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<std::pair<std::string_view, Kind>, 8> kSuffixes = {{
      {".jpg", Kind::kImage},
      {".jpeg", Kind::kImage},
      {".png", Kind::kImage},
      {".npy", Kind::kNpy},
      {".npz", Kind::kNpz},
      {".bin", Kind::kBin},
      {".pb", Kind::kProto},
      {".idx", Kind::kIdx},
  }};
  for (const auto& [suffix, kind] : kSuffixes) {
    if (name.ends_with(suffix)) return kind;
  }
  return name.find("idx3-ubyte") != std::string::npos ? Kind::kIdx : Kind::kOther;
}

// A file that the user names himself may be called anything.
Kind kind_of_file(const fs::path& path) {
  const Kind by_name = kind_of_name(path);
  if (by_name != Kind::kOther) return by_name;
  const auto file = InputFile::open(path);
  std::vector<std::byte> head(std::min<uint64_t>(file->size(), 8));
  file->read(0, head);
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (is_jpeg(head) || is_png(head)) return Kind::kImage;
  if (text.starts_with("\x93NUMPY")) return Kind::kNpy;
  if (text.starts_with("PK\x03\x04")) return Kind::kNpz;
  return is_idx(path) ? Kind::kIdx : Kind::kOther;
}

struct FolderContents {
  std::vector<DataFile> files;    // of known kinds, in byte-wise name order
  std::vector<fs::path> folders;  // likewise
};

FolderContents list(const fs::path& folder, const std::string& prefix = {}) {
  FolderContents contents;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with('.')) continue;
    if (at->is_directory()) {
      contents.folders.push_back(at->path());
    } else if (at->is_regular_file() && kind_of_name(at->path()) != Kind::kOther) {
      contents.files.push_back({at->path(), prefix + name});
    }
  }
  if (error) throw data_error(fmt::format("cannot read the folder: {}", error.message()), folder.string());
  std::ranges::sort(contents.files, {}, &DataFile::name);
  std::ranges::sort(contents.folders, {}, [](const fs::path& path) { return path.filename().string(); });
  // Labels and the like may lie beside images: where there are images, they are the data.
  const auto is_image = [](const DataFile& file) { return kind_of_name(file.path) == Kind::kImage; };
  if (std::ranges::any_of(contents.files, is_image)) std::erase_if(contents.files, std::not_fn(is_image));
  return contents;
}

std::vector<DataFile> files_in(const fs::path& folder) {
  FolderContents contents = list(folder);
  if (contents.files.empty()) {
    for (const fs::path& inner : contents.folders) {
      auto more = list(inner, inner.filename().string() + "/").files;
      std::ranges::move(more, std::back_inserter(contents.files));
    }
  }
  if (contents.files.empty()) {
    throw data_error("no data in the folder", folder.string(), fmt::format("it should hold {}", kKnownFiles));
  }
  return std::move(contents.files);
}

std::string file_name_of(std::string name) {
  std::ranges::replace(name, '/', '_');
  return name;
}

std::string names_of(const std::vector<InputSpec>& inputs) {
  std::vector<std::string> names;
  for (const InputSpec& input : inputs) names.push_back(input.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

class Resolver {
 public:
  Resolver(const std::vector<InputSpec>& inputs, const DataOptions& options) : inputs_(inputs), options_(options) {}

  std::vector<std::unique_ptr<InputData>> open(const fs::path& path) const {
    std::error_code error;
    const auto status = fs::status(path, error);
    if (!fs::exists(status)) throw data_error("no such file or folder", path.string(), "check --data");
    if (!fs::is_directory(status)) return open_file(path);
    std::vector<std::unique_ptr<InputData>> data;
    if (inputs_.size() == 1) {
      data.push_back(from_files(files_in(path), 0));
      return data;
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const fs::path inner = path / file_name_of(inputs_[i].name);
      if (!fs::is_directory(inner)) break;
      data.push_back(from_files(files_in(inner), i));
    }
    if (data.size() == inputs_.size()) return data;
    return from_named(list(path).files, path);
  }

 private:
  std::vector<std::unique_ptr<InputData>> open_file(const fs::path& path) const {
    if (kind_of_file(path) == Kind::kOther) {
      throw data_error("not a data file that is known", path.string(), fmt::format("data are {}", kKnownFiles));
    }
    if (inputs_.size() > 1) return from_named({{path, path.filename().string()}}, path);
    std::vector<std::unique_ptr<InputData>> data;
    data.push_back(from_files({{path, path.filename().string()}}, 0));
    return data;
  }

  std::unique_ptr<InputData> from_files(std::vector<DataFile> files, size_t input) const {
    const InputSpec& spec = inputs_[input];
    if (kind_of_file(files.front().path) == Kind::kImage)
      return make_image_data(std::move(files), spec, options_.preprocess);
    std::vector<StoredArray> arrays;
    for (const DataFile& file : files) {
      auto opened = arrays_in(file.path, input);
      arrays.push_back(pick(std::move(opened), spec.name, file.path));
    }
    return make_array_data(std::move(arrays), spec, options_.preprocess);
  }

  // The array for an input: the only one, or the one of its name.
  static StoredArray pick(std::vector<StoredArray> arrays, const std::string& name, const fs::path& path) {
    if (arrays.size() == 1) return std::move(arrays.front());
    std::vector<std::string> names;
    for (StoredArray& array : arrays) {
      if (array.name == name) return std::move(array);
      names.push_back(array.name);
    }
    throw data_error(fmt::format("no array is called '{}' like the input, but {}", name, fmt::join(names, ", ")),
                     path.string(), "name the arrays by the model's inputs");
  }

  // Several inputs: arrays by their own names, or by the names of their files.
  std::vector<std::unique_ptr<InputData>> from_named(const std::vector<DataFile>& files, const fs::path& path) const {
    std::vector<std::vector<StoredArray>> found(inputs_.size());
    for (const DataFile& file : files) {
      const std::string stem = file.path.stem().string();
      for (size_t i = 0; i < inputs_.size(); ++i) {
        if (kind_of_file(file.path) == Kind::kNpz) continue;
        if (stem != file_name_of(inputs_[i].name) && stem != fmt::format("input_{}", i)) continue;
        found[i].push_back(pick(arrays_in(file.path, i), inputs_[i].name, file.path));
      }
      if (kind_of_file(file.path) != Kind::kNpz) continue;
      for (StoredArray& array : open_npz(file.path)) {
        for (size_t i = 0; i < inputs_.size(); ++i) {
          if (array.name == inputs_[i].name || array.name == file_name_of(inputs_[i].name)) found[i].push_back(array);
        }
      }
    }
    std::vector<std::unique_ptr<InputData>> data;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (found[i].empty()) {
        throw data_error(
            fmt::format("no data for input '{}' (the model's inputs are {})", inputs_[i].name, names_of(inputs_)),
            path.string(), "give .npz files with arrays named by input, or a folder or file named by each");
      }
      data.push_back(make_array_data(std::move(found[i]), inputs_[i], options_.preprocess));
    }
    return data;
  }

  std::vector<StoredArray> arrays_in(const fs::path& path, size_t input) const {
    switch (kind_of_file(path)) {
      case Kind::kNpy: return {open_npy(path)};
      case Kind::kNpz: return open_npz(path);
      case Kind::kIdx: return {open_idx(path)};
      case Kind::kProto: return {open_tensor_proto(path)};
      case Kind::kBin: return {open_bin_for(path, input)};
      default: break;
    }
    throw data_error("images and arrays are mixed", path.string(), "keep them in folders of their own");
  }

  StoredArray open_bin_for(const fs::path& path, size_t input) const {
    size_t at = input;
    for (size_t i = 0; i < options_.bin_names.size(); ++i) {
      if (options_.bin_names[i] == inputs_[input].name) at = i;
    }
    if (at >= options_.bin_shapes.size()) {
      throw Error(ErrorCode::kConfig, fmt::format("a .bin file for input '{}' needs its shape", inputs_[input].name),
                  {.file = path.string()},
                  "give --input-shape, like 1,3,224,224, and --data-types if it is not float32");
    }
    const DType dtype = at < options_.bin_types.size() ? options_.bin_types[at] : inputs_[input].dtype;
    return open_bin(path, dtype, options_.bin_shapes[at]);
  }

  const std::vector<InputSpec>& inputs_;
  const DataOptions& options_;
};

class JoinedSource : public DataSource {
 public:
  explicit JoinedSource(std::vector<std::unique_ptr<InputData>> inputs) : inputs_(std::move(inputs)) {}
  size_t size() const override { return inputs_.front()->size(); }
  std::vector<Dims> sample_dims() const override { return sample_dims(0); }
  std::vector<Dims> sample_dims(size_t index) const override {
    std::vector<Dims> dims;
    for (const auto& input : inputs_) dims.push_back(input->dims(index));
    return dims;
  }
  void read(size_t index, const std::vector<MutableView>& destination) const override {
    AMCT_CHECK(destination.size() == inputs_.size() && index < size(), "a sample that is not there");
    for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i]->read(index, destination[i]);
  }
  std::string sample_name(size_t index) const override { return inputs_.front()->name(index); }

 private:
  std::vector<std::unique_ptr<InputData>> inputs_;
};

}  // namespace

std::unique_ptr<DataSource> open_data(const fs::path& path, const std::vector<InputSpec>& inputs,
                                      const DataOptions& options) {
  if (inputs.empty()) {
    throw Error(ErrorCode::kInput, "the model has no inputs, so there is nothing to feed data to",
                {.file = path.string()});
  }
  auto data = options.bin_folders.empty() ? Resolver(inputs, options).open(path) : open_bin_folders(inputs, options);
  for (size_t i = 1; i < data.size(); ++i) {
    if (data[i]->size() == data[0]->size()) continue;
    throw data_error(fmt::format("input '{}' has {} samples, but input '{}' has {}", inputs[0].name, data[0]->size(),
                                 inputs[i].name, data[i]->size()),
                     path.string(), "every input needs the same number of samples");
  }
  return std::make_unique<JoinedSource>(std::move(data));
}

}  // namespace amct
