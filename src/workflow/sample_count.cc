#include "workflow/sample_count.h"

#include <fmt/format.h>

#include "base/checked_math.h"
#include "base/error.h"
#include "data/sample_range.h"

namespace amct {
namespace {

void check(std::optional<int64_t> count, const std::string& what) {
  if (count && *count >= 1 && *count <= kMostSamples) return;
  throw Error(ErrorCode::kConfig, fmt::format("{} samples are asked for, must be 1 to {}", what, kMostSamples));
}

}  // namespace

int64_t samples_to_read(std::optional<int64_t> samples, std::optional<int64_t> batch_num, int64_t batch,
                        std::vector<std::string>& warnings) {
  std::optional<int64_t> configured;
  if (batch_num) {
    configured = checked_mul(*batch_num, batch);
    check(configured, fmt::format("{} batches of {}", *batch_num, batch));
  }
  if (!samples) return configured.value_or(kDefaultSamples);
  check(samples, std::to_string(*samples));
  if (configured && *configured != *samples) {
    warnings.push_back(
        fmt::format("{} samples are read, as the command line says; the configuration's batch_num would be {}",
                    *samples, *configured));
  }
  return *samples;
}

}  // namespace amct
