// Average pooling of integers (integer_compute.h): exact sums, then float32(sum) / float32(count).
#include "kernels/simd/byte_average_pool.h"
#include "kernels/simd/int_window_sums.h"
#include "ops/integer_compute.h"
#include "ops/op_row.h"
#include "ops/pool.h"

namespace amct {
namespace {

// Positions of the window at `at` that lie in the input, or with `padded` in the input and its pads; what ceil_mode
// adds behind the pads never counts.
int64_t count_inside(const dnn::Window& window, std::span<const int64_t> input, const Dims& at, bool padded) {
  int64_t count = 1;
  for (size_t i = 0; i < at.size(); ++i) {
    const int64_t low = padded ? -window.pads_begin[i] : 0, high = input[i] + (padded ? window.pads_end[i] : 0);
    int64_t inside = 0;
    for (int64_t k = 0; k < window.kernel[i]; ++k) {
      const int64_t position = at[i] * window.strides[i] - window.pads_begin[i] + k * window.dilations[i];
      inside += position >= low && position < high ? 1 : 0;
    }
    count *= inside;
  }
  return count;
}

// What the sum of each output position is divided by.
std::vector<int64_t> counts_of(const Node& node, const Dims& x, const Dims& y) {
  const dnn::Window window = pool_window(node, x);
  const std::span<const int64_t> input = std::span(x).subspan(2);
  const bool padded = attr_int(node, "count_include_pad") != 0;
  std::vector<int64_t> counts;
  Dims at(y.size() - 2, 0);
  for (int64_t n = element_count(Dims(y.begin() + 2, y.end())); n > 0; --n) {
    counts.push_back(count_inside(window, input, at, padded));
    for (size_t i = at.size(); i-- > 0;) {
      if (++at[i] < y[2 + i]) break;
      at[i] = 0;
    }
  }
  return counts;
}

class AveragePoolStep : public Step {
 public:
  explicit AveragePoolStep(const LowerContext& c)
      : node_(c.node()),
        shape_(int_window_shape(c.input(0).dims, c.output(0).dims, pool_window(node_, c.input(0).dims), 1,
                                Layout::kChannelsLast)),
        counts_(counts_of(node_, c.input(0).dims, c.output(0).dims)),
        threads_(c.threads()) {}
  std::function<void()> bind(const StepIo& io) const override {
    return [this, x = integer_input(node_, io.inputs[0]), y = io.outputs[0].as<float>()] {
      byte_average_pool(shape_, x, counts_.data(), y, threads_);
    };
  }
  std::string implementation() const override { return "simd"; }

 private:
  const Node node_;
  const IntConvShape shape_;
  const std::vector<int64_t> counts_;
  const int threads_;
};

}  // namespace

void run_integer_average_pool(RunContext& c) {
  const Dims& x = c.input(0).dims;
  const IntConvShape shape = int_window_shape(x, c.output(0).dims, pool_window(c.node(), x), 1, Layout::kPlain);
  const std::vector<int64_t> counts = counts_of(c.node(), x, c.output(0).dims);
  std::vector<int64_t> sums(static_cast<size_t>(c.output(0).size()));
  int_window_sums(shape, integer_input(c.node(), c.input(0)), sums.data());
  float* y = c.output(0).as<float>();
  for (size_t i = 0; i < sums.size(); ++i) {
    y[i] = static_cast<float>(sums[i]) / static_cast<float>(counts[i % counts.size()]);
  }
}

std::unique_ptr<Step> lower_integer_average_pool(const LowerContext& c) {
  constexpr int64_t kMost = int64_t{1} << 23;  // elements of a window whose sum fits 32 bits
  const bool last = c.input(0).layout == Layout::kChannelsLast && c.output(0).layout == Layout::kChannelsLast;
  const bool bytes = c.input(0).dtype != DType::kInt16;
  if (!last || !bytes || !c.epilogues().empty() ||
      element_count(pool_window(c.node(), c.input(0).dims).kernel) >= kMost) {
    return nullptr;
  }
  return std::make_unique<AveragePoolStep>(c);
}

}  // namespace amct
