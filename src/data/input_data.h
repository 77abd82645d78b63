// Samples of one network input, from images or from arrays; source.cc joins those of all inputs.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/source.h"
#include "data/stored_array.h"

namespace amct {

class InputData {
 public:
  virtual ~InputData() = default;
  virtual size_t size() const = 0;
  virtual Dims dims(size_t index) const = 0;  // of a sample, without the batch
  virtual void read(size_t index, const MutableView& destination) const = 0;
  virtual std::string name(size_t index) const = 0;
};

struct DataFile {
  std::filesystem::path path;
  std::string name;  // relative to the data folder
};

std::unique_ptr<InputData> make_image_data(std::vector<DataFile> files, const InputSpec& input,
                                           const std::optional<PreprocessSpec>& preprocess);

// Rows of the arrays one after the other. An array whose extents are those of one sample is one sample.
std::unique_ptr<InputData> make_array_data(std::vector<StoredArray> arrays, const InputSpec& input,
                                           const std::optional<PreprocessSpec>& preprocess);

}  // namespace amct
