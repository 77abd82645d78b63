// Products with packed weights against sums in double over weights that were unpacked one by one.
#include "kernels/simd/packed_product.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/values.h"

namespace amct::testing {
namespace {

struct Case {
  int64_t n, k, bits, block, rows;
  bool zeros, bias;
};

class Problem {
 public:
  Problem(const Case& c, unsigned seed) : c_(c), random_(seed) {
    blocks_ = (c.k + c.block - 1) / c.block;
    bytes_.resize(static_cast<size_t>(c.n * blocks_ * c.block * c.bits / 8));
    for (uint8_t& byte : bytes_) byte = static_cast<uint8_t>(random_());
    fill(scales_, c.n * blocks_);
    fill(a_, c.rows * c.k);
    fill(bias_, c.n);
    std::uniform_int_distribution<int> zero(0, (1 << c.bits) - 1);
    zeros_.assign(scales_.size(), static_cast<float>(1 << (c.bits - 1)));
    for (float& z : zeros_) z = c.zeros ? static_cast<float>(zero(random_)) : z;
    for (size_t i = 0; i < zeros_.size(); ++i) scaled_zeros_.push_back(zeros_[i] * scales_[i]);
  }

  std::vector<float> product(int64_t part) const {
    const PackedWeight w{.n = c_.n,
                         .k = c_.k,
                         .bits = c_.bits,
                         .block = c_.block,
                         .bytes = bytes_.data(),
                         .scales = scales_.data(),
                         .scaled_zeros = c_.zeros ? scaled_zeros_.data() : nullptr};
    std::vector<float> split(static_cast<size_t>(c_.rows * blocks_ * c_.block)), y(static_cast<size_t>(c_.rows * c_.n));
    std::vector<float> sums(static_cast<size_t>(c_.rows * blocks_));
    split_rows(w, a_.data(), c_.rows, split.data(), sums.data());
    for (int64_t first = 0; first < c_.n; first += part) {
      packed_product(w, split.data(), sums.data(), c_.rows, first, std::min(c_.n, first + part),
                     c_.bias ? bias_.data() : nullptr, y.data());
    }
    return y;
  }

  // The largest difference from the sums in double, as a share of what is added up.
  double error(const std::vector<float>& y) const {
    double largest = 0;
    for (int64_t row = 0; row < c_.rows; ++row) {
      for (int64_t n = 0; n < c_.n; ++n) {
        double sum = c_.bias ? bias_[static_cast<size_t>(n)] : 0, size = std::abs(sum) + 1e-3;
        for (int64_t k = 0; k < c_.k; ++k) {
          const auto at = static_cast<size_t>(n * blocks_ + k / c_.block);
          const int64_t bit = (static_cast<int64_t>(at) * c_.block + k % c_.block) * c_.bits;
          const int q = bytes_[static_cast<size_t>(bit / 8)] >> (bit % 8) & ((1 << c_.bits) - 1);
          const double a = a_[static_cast<size_t>(row * c_.k + k)];
          sum += a * (q - static_cast<double>(zeros_[at])) * static_cast<double>(scales_[at]);
          size += std::abs(a) * (1 << c_.bits) * std::abs(static_cast<double>(scales_[at]));
        }
        largest = std::max(largest, std::abs(static_cast<double>(y[static_cast<size_t>(row * c_.n + n)]) - sum) / size);
      }
    }
    return largest;
  }

 private:
  void fill(std::vector<float>& values, int64_t count) { values = normal_values(static_cast<size_t>(count), random_); }

  Case c_;
  std::mt19937 random_;
  int64_t blocks_;
  std::vector<uint8_t> bytes_;
  std::vector<float> scales_, zeros_, scaled_zeros_, a_, bias_;
};

TEST(PackedProduct, AgreesWithUnpackedSums) {
  unsigned seed = 0;
  for (const int64_t bits : {2, 4, 8}) {
    for (const int64_t block : {16, 32, 64, 128, 256}) {
      for (const int64_t rows : {1, 2, 3, 4, 7}) {
        for (const int64_t k : {1, 31, 256, 531}) {
          const Case c{.n = 5 + k % 9,
                       .k = k,
                       .bits = bits,
                       .block = block,
                       .rows = rows,
                       .zeros = seed % 2 == 0,
                       .bias = seed % 3 == 0};
          SCOPED_TRACE(::testing::Message() << "bits " << bits << " block " << block << " rows " << rows << " k " << k
                                            << " n " << c.n << " seed " << seed);
          const Problem problem(c, ++seed);
          const std::vector<float> y = problem.product(c.n);
          ASSERT_LT(problem.error(y), 1e-6);
          ASSERT_EQ(problem.product(4), y) << "in parts";
        }
      }
    }
  }
}

}  // namespace
}  // namespace amct::testing
