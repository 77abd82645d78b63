// Numbers that say how close a compressed network is to its original.
//
//   SQNR    10 log10(sum z^2 / sum (z - q)^2), z of the original, q of the compressed network, over all samples
//   cosine  sum z q / sqrt(sum z^2 sum q^2)
// Sums are kept per sample and added in sample order, so that they do not depend on the number of workers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/tensor.h"

namespace amct {

class Agreement {
 public:
  explicit Agreement(size_t samples) : sums_(samples) {}

  // One sample of both; equally long.
  void add(size_t sample, std::span<const float> original, std::span<const float> compressed);
  // The same for classifier outputs: each sample's mean is removed first (logits are defined up to a constant), and the
  // top classes are compared.
  void add_logits(size_t sample, std::span<const float> original, std::span<const float> compressed);

  double sqnr_db() const;  // +inf when equal
  double cosine() const;
  double same_class_percent() const;  // share of samples whose top class stays the same (add_logits only)
  double largest_difference() const;

 private:
  struct Sums {
    double signal = 0, noise = 0, cross = 0, compressed = 0, largest = 0;
    bool same_class = false;
  };
  Sums total() const;
  std::vector<Sums> sums_;
};

// One sample's row of a batched output as floats: the memory itself if it holds floats, else converted into `storage`.
std::span<const float> row_of(const TensorView& view, size_t row, size_t rows, std::vector<float>& storage);

}  // namespace amct
