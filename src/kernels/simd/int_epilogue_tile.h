// The epilogue of int_epilogue.h on tiles whose columns are channels of several pixels side by side.
#pragma once

#include <cstdint>

#include "kernels/simd/int_epilogue.h"

namespace amct {

// Rows of adjacent results. Behind the last channel the first one follows, up to `epilogue_columns` columns.
struct EpilogueTile {
  const int32_t* sums = nullptr;  // may be read up to the next multiple of 16 behind a row
  int64_t ld = 0;                 // from row to row of the sums
  int64_t rows = 0, count = 0;    // extents
  int64_t column = 0;             // of the first result of a row
  int64_t at = 0, step = 0;       // the first result among all elements, and from row to row
};
void apply_epilogue(const IntEpilogue& epilogue, const EpilogueTile& tile, const IntEpilogue::Rows& to);

// How many columns, those of whole pixels of `channels` each, fill vectors of 64; `channels` where that takes too many.
int64_t epilogue_columns(int64_t channels);

}  // namespace amct
