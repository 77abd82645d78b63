// The text form of a graph: for tests, bug reports and `inspect --text` (docs/formats/graph-text.md).
//
//   opset "" 13
//   %x: float32[1, 3, H, 224] = input
//   %w: float32[8, 3, 3, 3] = constant random(1234)
//   %b: float32[2] = constant [0.5, -1]
//   %y: float32[1, 8, ?, 112] = conv(%x, %w, _) {strides=[2, 2], group=1} @conv_1
//   output %y
//
// One node a line; `_` is an absent input or output; `@` gives the layer key where it is not the name of the first
// output; names with unusual characters stand in quotes; `#` starts a comment. Large constants are printed as the hash
// of their bytes, which cannot be read back: TextOptions::max_elements prints them in full. `random(seed)` is for
// people: ir/random_tensor.h says which numbers it stands for.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace amct {

struct TextOptions {
  int64_t max_elements = 32;  // constants with more are printed as a hash
  static TextOptions full() { return {std::numeric_limits<int64_t>::max()}; }
};

// Everything but the file's path and the origins of values, in an order that depends on the graph alone.
std::string to_text(const Graph& graph, const TextOptions& options = {});

// Reads what to_text prints in full, exactly: to_text(parse_text(text), full) == text. `find_row` gives the row of an
// operator or null; an operator without a row must be an opaque one ("domain::Type"). Throws Error(kInput) with line
// and column.
using FindRow = std::function<const OpRow*(std::string_view)>;
Graph parse_text(std::string_view text, const FindRow& find_row);

}  // namespace amct
