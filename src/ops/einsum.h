// The equation of Einsum, and the plan that computes it by copies, sums and matrix products.
//
// A label names an axis: letters are 0 to 51 (A-Z, a-z), the axes of "..." are 52 and up, counted from the last. Axes
// of one label have one extent or are 1 (broadcasting). Operands are taken from left to right; of two, labels of both
// that are still needed are the batch, labels that only one has are rows and columns, and labels of both that nothing
// needs any more are contracted:
//   y[batch, m, n] = sum over k of a[batch, m, k] b[batch, k, n].
// What only one operand has and nothing needs is summed first; repeated labels of one operand are its diagonal.
#pragma once

#include <string_view>
#include <vector>

#include "ir/shape.h"

namespace amct {

struct EinsumLabels {
  std::vector<std::vector<int>> inputs;
  std::vector<int> output;
};

// The equation read for operands of these ranks. Throws Error(kInput) where it is faulty or does not fit them.
EinsumLabels read_einsum(std::string_view equation, const std::vector<size_t>& ranks);

struct EinsumStep {
  enum class Kind {
    kCopy,      // to, dense with extents `dims`, takes element `strides` of a
    kSum,       // a, dense with extents `dims`, summed over the axes marked in `summed`
    kMultiply,  // element by element
    kProduct,   // batch matrix products (m, k) (k, n); a flag says that the memory holds the transpose
    kZero,      // nothing to add up
  };
  Kind kind = Kind::kCopy;
  size_t a = 0, b = 0, to = 0;
  Dims dims, strides;
  std::vector<bool> summed;
  int64_t batch = 1, m = 1, n = 1, k = 1;
  bool a_transposed = false, b_transposed = false;
};

// Buffers are numbered: the operands, then the output, then temporaries.
struct EinsumPlan {
  std::vector<EinsumStep> steps;
  std::vector<int64_t> elements;  // of every buffer
  int64_t macs() const;
};

// `inputs` fit the labels. With `transposed` products may read transposed operands, which saves copies.
EinsumPlan plan_einsum(const EinsumLabels& labels, const std::vector<Dims>& inputs, bool transposed);

// Extents of the labels, by label; 1 where a label has none. Throws Error(kInput) where they differ.
std::vector<int64_t> einsum_extents(const EinsumLabels& labels, const std::vector<Dims>& inputs);

}  // namespace amct
