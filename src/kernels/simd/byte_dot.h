// Dot products of unsigned with signed bytes in 32-bit lanes: C[r][n] = start[n] + sum_k x_r[k] * w[n][k], exact modulo
// 2^32. One instruction adds four products of bytes (VNNI), or another two of 16-bit integers; either way four bytes of
// a row meet four bytes of a filter: a quad.
//
// The depth of a row is a list of runs of adjacent bytes, so that a window of a channels-last image is read where it
// lies, without a copy of its patch. Weights are packed in blocks of up to 64 rows, and these in panels of the rows
// that one pass over the depth takes: quads of depth, each with the quads of all rows of the panel side by side.
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
  int64_t panel = 0;                    // rows whose quads stand side by side
  int64_t depth = 0;                    // bytes
  std::vector<int8_t> quads;            // (width / panel, depth / 4, panel, 4)
};

// One tile: rows of x against one block.
struct ByteTile {
  static constexpr int64_t kSums = 2048;  // that stay in the cache until somebody reads them
  static constexpr int kMaxRows = kSums / ByteBlock::kLanes;
  const uint8_t* const* x = nullptr;  // where each row begins
  int rows = 0;
  bool flip = false;              // x holds signed bytes: 128 is added to each (values of one byte only)
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
  int value_bytes;  // of x and the weights in memory: 1, or 2 for 16-bit products
  int64_t panel;    // most rows of a panel
  void (*run)(const ByteTile& tile);
  int (*rows_at_once)(int64_t width);  // tiles of whole multiples of it use the registers best
};

// What this processor has and kernels may use (isa.h), fastest first; empty if there is no such instruction.
std::span<const ByteDot> byte_dots();

// Splits `rows` rows of weights into blocks for a kernel; `depth` in bytes. Values are filled in by the caller at
// `byte_index`.
std::vector<ByteBlock> byte_blocks(const ByteDot& dot, int64_t rows, int64_t depth);
inline int64_t byte_index(const ByteBlock& block, int64_t row, int64_t k) {
  return (row / block.panel * block.depth + k / 4 * 4) * block.panel + row % block.panel * 4 + k % 4;
}

}  // namespace amct
