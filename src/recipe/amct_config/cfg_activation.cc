#include "recipe/amct_config/cfg_activation.h"

#include <array>

namespace amct::config {
namespace {

constexpr std::array<int, 3> kBitsOfType = {8, 8, 16};  // not written, INT8, INT16

}  // namespace

ActivationSettings read_ifmr(const CfgReader& r) {
  ActivationSettings result;
  result.search.method = ClipSearch::Method::kIfmr;
  result.search.max_percentile = r.number("max_percentile");
  result.search.min_percentile = r.number("min_percentile");
  result.search.search_start = r.number("search_range_start");
  result.search.search_end = r.number("search_range_end");
  result.search.search_step = r.number("search_step");
  if (!(result.search.search_start < result.search.search_end)) {
    r.fault("search_range_end", "search_range_start must be below search_range_end");
  } else if (result.search.search_step > result.search.search_end - result.search.search_start) {
    r.fault("search_step", "search_step must not be longer than the search range");
  }
  result.asymmetric = r.optional_flag("asymmetric");
  result.bits = kBitsOfType[r.enumerator("dst_type")];
  return result;
}

ActivationSettings read_hfmg(const CfgReader& r) {
  ActivationSettings result;
  result.search.method = ClipSearch::Method::kHfmg;
  result.search.bins = static_cast<int>(r.integer("num_of_bins"));
  result.asymmetric = r.optional_flag("asymmetric");
  result.bits = kBitsOfType[r.enumerator("dst_type")];
  return result;
}

}  // namespace amct::config
