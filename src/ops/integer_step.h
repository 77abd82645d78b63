// The compiled step of integer layers that are an IntConv: convolutions, and products with one matrix of weights. The
// weights are packed when the step is made and not read again; epilogues work on the sums where the kernel takes them.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "kernels/simd/int_conv.h"
#include "ops/lower.h"

namespace amct {

// Where a step finds its input, zero point and bias when it runs.
struct IntegerOperands {
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  size_t x = 0;
  size_t zero_port = kNone;  // an 8-bit integer; else `zero` it is
  size_t bias_port = kNone;  // int32; else `bias`
  int32_t zero = 0;
  std::vector<int32_t> bias = {};  // empty: none
};

// The operands of a layer without bias whose zero point is an input, if it is there: one that is constant is taken in.
IntegerOperands quantized_operands(const LowerContext& c, size_t x, size_t zero);

// `epilogue` null: the sums are the result, in the order of the kernel.
std::unique_ptr<Step> make_integer_step(const LowerContext& c, IntConv conv, IntegerOperands operands,
                                        std::shared_ptr<const IntEpilogue> epilogue);

// The sums of all outputs of an IntConv or IntConvTranspose in the type of y, int32 or int64.
template <typename Conv>
void run_sums(const Conv& conv, const IntInput& x, const int32_t* bias, const MutableView& y, int threads) {
  if (y.dtype == DType::kInt64) {
    conv.run(x, bias, y.as<int64_t>(), threads);
  } else {
    conv.run(x, bias, y.as<int32_t>(), threads);
  }
}

}  // namespace amct
