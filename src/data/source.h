// Calibration and evaluation data: samples that are streamed from files, never held whole.
//
// A sample is one index of axis 0. Formats: folders of JPEG and PNG, .npy and .npz (one array, or arrays named by
// input), raw .bin, idx and TensorProto files. Decoding runs ahead of the network in its own threads (prefetch.h).
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/preprocess.h"
#include "ir/tensor.h"

namespace amct {

// One input of the network as the data must fit it.
struct InputSpec {
  std::string name;
  DType dtype = DType::kFloat32;
  std::vector<Dim> dims;  // with the batch axis first
};

struct DataOptions {
  std::optional<PreprocessSpec> preprocess;  // images need one; arrays are left alone without it
  std::vector<Dims> bin_shapes;              // --input-shape, for .bin files: one per input
  std::vector<DType> bin_types;              // --data-types
  std::vector<std::string> bin_names;        // names given with the shapes ("" = by order)
  // Folders of .bin files, one per name, shape and type; read instead of the path of open_data (bin_folders.h).
  std::vector<std::filesystem::path> bin_folders;
};

class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual size_t size() const = 0;  // number of samples
  // Extents of one sample of every input, without the batch axis: the network's own where it fixes them.
  virtual std::vector<Dims> sample_dims() const = 0;
  // Those of sample `index`: another answer only for images that are neither cropped nor scaled to one size, with a
  // network that leaves its extents open.
  virtual std::vector<Dims> sample_dims(size_t index) const {
    (void)index;
    return sample_dims();
  }
  // Writes sample `index` of every input into `destination` (one view per input, without the batch axis, plain layout).
  // May be called from several threads at once. Throws Error(kInput) naming the file.
  virtual void read(size_t index, const std::vector<MutableView>& destination) const = 0;
  // What a sample is called in messages and label files: the file name ("class/file" in class folders), or the index.
  virtual std::string sample_name(size_t index) const = 0;
};

// Opens a folder or file for a network with these inputs. A folder holds images, or arrays (each counts its samples on
// axis 0), in byte-wise name order, other files being ignored; or class folders of them, in order. With several inputs
// it holds .npz files with arrays named by input, or one folder or file named by each input ("/" in names is "_").
// Throws Error(kInput) when nothing usable is there or when the
// shape of the data cannot fit, saying which input, which shape was expected, and which options help.
std::unique_ptr<DataSource> open_data(const std::filesystem::path& path, const std::vector<InputSpec>& inputs,
                                      const DataOptions& options);

// Class indices for samples. A label file has one "name index" pair a line, for every sample; names that are not among
// the data are left out. An .npy or idx file has one index per sample. Throws ErrorList(kInput) with the lines that are
// wrong and the samples without a label.
std::vector<int64_t> read_labels(const std::filesystem::path& path, const DataSource& source);

}  // namespace amct
