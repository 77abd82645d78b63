// How many samples a calibration reads: as many as the request says, else as many batches as the configuration says,
// else a default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace amct {

constexpr int64_t kDefaultSamples = 64;

// `samples`: of the request; `batch_num`: of the configuration, in batches of `batch` samples. Where both are there and
// differ, the request wins, with a warning. Throws Error(kConfig) unless the result is in [1, kMostSamples].
int64_t samples_to_read(std::optional<int64_t> samples, std::optional<int64_t> batch_num, int64_t batch,
                        std::vector<std::string>& warnings);

}  // namespace amct
