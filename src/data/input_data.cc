#include "data/input_data.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/checked_math.h"
#include "data/pixels.h"

namespace amct {
namespace {

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  const auto file = InputFile::open(path);
  std::vector<std::byte> bytes(file->size());
  file->read(0, bytes);
  return bytes;
}

class ImageData : public InputData {
 public:
  ImageData(std::vector<DataFile> files, const InputSpec& input, const PreprocessSpec& preprocess)
      : files_(std::move(files)), pipeline_(preprocess, input) {
    fixed_ = dims_of(0);
  }
  size_t size() const override { return files_.size(); }
  std::string name(size_t index) const override { return files_[index].name; }
  Dims dims(size_t index) const override { return pipeline_.fixed_dims() ? fixed_ : dims_of(index); }
  void read(size_t index, const MutableView& destination) const override {
    const std::string label = files_[index].path.string();
    const auto bytes = read_file(files_[index].path);
    const Dims dims = pipeline_.sample_dims(image_size(bytes, label), label);
    AMCT_CHECK(dims == destination.dims, "room of the wrong size for an image");
    pipeline_.read(bytes, destination, label);
  }

 private:
  Dims dims_of(size_t index) const {
    const std::string label = files_[index].path.string();
    return pipeline_.sample_dims(image_size(read_file(files_[index].path), label), label);
  }

  std::vector<DataFile> files_;
  ImagePipeline pipeline_;
  Dims fixed_;
};

Dims without_ones(const Dims& dims) {
  Dims result;
  std::ranges::copy_if(dims, std::back_inserter(result), [](int64_t extent) { return extent != 1; });
  return result;
}

bool equal(const Dims& row, const InputSpec& input) {
  if (row.size() + 1 != input.dims.size()) return false;
  for (size_t axis = 0; axis < row.size(); ++axis) {
    const Dim& wanted = input.dims[axis + 1];
    if (wanted.is_fixed() && wanted.extent() != row[axis]) return false;
  }
  return true;
}

// Extents that the network sees for a row of an array: the row's own, or the input's where both hold the same elements
// in the same order (extents of 1 differ, or the input is a vector). nullopt = the row does not fit.
std::optional<Dims> fit_row(const Dims& row, const InputSpec& input) {
  if (equal(row, input)) return row;
  Dims wanted;
  for (size_t axis = 1; axis < input.dims.size(); ++axis) {
    if (!input.dims[axis].is_fixed()) return std::nullopt;
    wanted.push_back(input.dims[axis].extent());
  }
  const Dims core = without_ones(wanted);
  const auto row_size = checked_product(row), wanted_size = checked_product(wanted);
  if (!row_size || row_size != wanted_size) return std::nullopt;
  if (core.size() <= 1 || core == without_ones(row)) return wanted;
  return std::nullopt;
}

class ArrayData : public InputData {
 public:
  ArrayData(std::vector<StoredArray> arrays, const InputSpec& input, const std::optional<PreprocessSpec>& preprocess)
      : arrays_(std::move(arrays)), input_(input) {
    if (preprocess) pipeline_.emplace(*preprocess, input);
    for (StoredArray& array : arrays_) {
      if (!may_convert(array.dtype, input.dtype)) {
        throw data_error(
            fmt::format("input '{}' takes {}, not {}", input.name, name_of(input.dtype), name_of(array.dtype)),
            array.label, fmt::format("convert it, for example with .astype('{}')", name_of(input.dtype)));
      }
      // A sample without its batch axis (or an input that is one number) becomes a batch of one.
      const bool one = pipeline_
                           ? array.dims.size() + 1 == input.dims.size() && array.dims.size() >= 2 && looks_single(array)
                           : equal(array.dims, input);
      if (one || array.dims.empty()) array.dims.insert(array.dims.begin(), 1);
      dims_.push_back(fitted(array));
      starts_.push_back(total_);
      total_ += static_cast<size_t>(array.rows());
    }
    if (total_ == 0) throw data_error("there is no sample", arrays_.front().label);
  }
  size_t size() const override { return total_; }
  std::string name(size_t index) const override { return std::to_string(index); }
  Dims dims(size_t index) const override { return dims_[array_of(index)]; }
  void read(size_t index, const MutableView& destination) const override {
    const size_t which = array_of(index);
    const StoredArray& array = arrays_[which];
    AMCT_CHECK(destination.dims == dims_[which], "room of the wrong size for a row");
    const auto row = static_cast<int64_t>(index - starts_[which]);
    if (array.dtype == destination.dtype && !pipeline_) {
      return read_row(array, row, {static_cast<std::byte*>(destination.data), destination.bytes()});
    }
    Tensor stored = Tensor::allocate(array.dtype, array.row_dims());
    read_row(array, row, {stored.mutable_data(), stored.bytes().size()});
    if (pipeline_) {
      pipeline_->read_array(stored.view(), destination, array.label);
    } else {
      convert_elements(stored.view(), destination, array.label);
    }
  }

 private:
  bool looks_single(const StoredArray& array) const { return equal(array.dims, input_); }
  size_t array_of(size_t index) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), index);
    return static_cast<size_t>(after - starts_.begin()) - 1;
  }
  Dims fitted(const StoredArray& array) const {
    if (pipeline_) return pipeline_->array_sample_dims(array.row_dims(), array.label);
    if (auto dims = fit_row(array.row_dims(), input_)) return *dims;
    const std::vector<Dim> wanted(input_.dims.begin() + (input_.dims.empty() ? 0 : 1), input_.dims.end());
    std::string hint = "axis 0 counts samples: transpose or reshape the array to that";
    if (array.row_dims().size() == 3) hint += ", or give --preprocess (its layout then follows the model)";
    throw data_error(fmt::format("input '{}' wants samples of {}, but the rows of {} are {}", input_.name,
                                 Shape(wanted).to_string(), to_string(array.dims), to_string(array.row_dims())),
                     array.label, std::move(hint));
  }

  std::vector<StoredArray> arrays_;
  InputSpec input_;
  std::optional<ImagePipeline> pipeline_;
  std::vector<Dims> dims_;      // of each array's samples
  std::vector<size_t> starts_;  // index of each array's first sample
  size_t total_ = 0;
};

}  // namespace

std::unique_ptr<InputData> make_image_data(std::vector<DataFile> files, const InputSpec& input,
                                           const std::optional<PreprocessSpec>& preprocess) {
  if (!preprocess) {
    throw Error(ErrorCode::kConfig, fmt::format("it is not said how images become input '{}'", input.name),
                {.file = files.front().path.string()},
                "add --preprocess imagenet, imagenet-tf, cifar, mnist or unit: what the model was trained with "
                "(docs/formats/data.md)");
  }
  return std::make_unique<ImageData>(std::move(files), input, *preprocess);
}

std::unique_ptr<InputData> make_array_data(std::vector<StoredArray> arrays, const InputSpec& input,
                                           const std::optional<PreprocessSpec>& preprocess) {
  return std::make_unique<ArrayData>(std::move(arrays), input, preprocess);
}

}  // namespace amct
