// Dot products of unsigned with signed bytes, added in fours into 32-bit lanes by one instruction of the processor
// (VNNI): C[r][n] = start[n] + sum_k x_r[k] * w[n][k], exact modulo 2^32.
//
// The depth of a row is a list of runs of adjacent bytes, so that a window of a channels-last image is read where it
// lies, without a copy of its patch. Weights are packed in blocks of up to 64 rows: quads of depth, each with the quads
// of all rows of the block side by side.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace amct {

// The rows of weights that one tile multiplies with.
struct ByteBlock {
  static constexpr int kLanes = 16;     // rows are padded to whole groups of these
  static constexpr int kMaxWidth = 64;  // rows of one block
  int64_t first = 0;                    // row of W
  int64_t rows = 0;                     // without padding
  int64_t width = 0;                    // with padding
  std::vector<int8_t> quads;            // (depth / 4, width, 4)
};

// One tile: rows of x against one block.
struct ByteTile {
  static constexpr int64_t kSums = 2048;  // that stay in the cache until somebody reads them
  static constexpr int kMaxRows = kSums / ByteBlock::kLanes;
  const uint8_t* const* x = nullptr;  // where each row begins
  int rows = 0;
  bool flip = false;              // x holds signed bytes: 128 is added to each
  std::span<const int64_t> runs;  // offsets of the runs of a row
  int64_t run_bytes = 0;          // of each run, a multiple of 4
  const int8_t* weights = nullptr;
  int64_t width = 0;
  const int32_t* start = nullptr;  // `width` values
  int32_t* sums = nullptr;         // `rows` rows of `width` values; each row writes over the end of the one before it
  int64_t ld = 0;                  // from row to row of the sums: `width`, or less than one group of lanes below it
};

struct ByteDot {
  const char* name;
  void (*run)(const ByteTile& tile);
  int (*rows_at_once)(int64_t width);  // tiles of whole multiples of it use the registers best
};

// What this processor has and kernels may use (isa.h), fastest first; empty if there is no such instruction.
std::span<const ByteDot> byte_dots();

// Splits `rows` rows of weights into blocks; values are filled in by the caller at `index`.
std::vector<ByteBlock> byte_blocks(int64_t rows, int64_t depth);
inline int64_t byte_index(const ByteBlock& block, int64_t row, int64_t k) {
  return (k / 4 * block.width + row) * 4 + k % 4;
}

}  // namespace amct
