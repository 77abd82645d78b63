// Folders of raw .bin files as AMCT's command line reads them: one folder per input, each file a batch of the given
// shape, in byte-wise order of the names.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "data/input_data.h"
#include "data/source.h"
#include "data/stored_array.h"

namespace amct {

// The .bin files of a folder, opened; others are left out with a warning. One extent may be -1 and follows from the
// size of each file. Throws Error(kInput) when there is none, or one that does not fit.
std::vector<StoredArray> open_bin_folder(const std::filesystem::path& folder, DType dtype, const Dims& dims);

// The data of every input; `options` has as many folders, names, shapes and types. Throws ErrorList(kConfig) unless the
// names are those of the inputs.
std::vector<std::unique_ptr<InputData>> open_bin_folders(const std::vector<InputSpec>& inputs,
                                                         const DataOptions& options);

}  // namespace amct
