#include "ops/integer_step.h"

#include "ops/integer_compute.h"
#include "ops/integer_epilogue.h"

namespace amct {
namespace {

int32_t zero_point(const TensorView& zero) {
  return zero.dtype == DType::kUInt8 ? int32_t{zero.as<uint8_t>()[0]} : int32_t{zero.as<int8_t>()[0]};
}

class IntegerStep : public Step {
 public:
  IntegerStep(const LowerContext& c, IntConv conv, IntegerOperands operands,
              std::shared_ptr<const IntEpilogue> epilogue)
      : type_(integer_type(c.input(operands.x).dtype)),
        conv_(std::move(conv)),
        operands_(std::move(operands)),
        epilogue_(std::move(epilogue)),
        input_count_(c.input_count()),
        threads_(c.threads()) {}

  std::function<void()> bind(const StepIo& io) const override {
    const auto view = [&](size_t port) { return port == IntegerOperands::kNone ? TensorView() : io.inputs[port]; };
    const auto input = [this, x = view(operands_.x).data, zero = view(operands_.zero_port)] {
      return IntInput{x, type_, zero ? zero_point(zero) : operands_.zero};
    };
    const TensorView added = view(operands_.bias_port);
    const int32_t* own = operands_.bias.empty() ? nullptr : operands_.bias.data();
    const int32_t* bias = added ? added.as<int32_t>() : own;
    if (epilogue_ == nullptr) {
      return [this, input, bias, y = io.outputs[0]] { run_sums(conv_, input(), bias, y, threads_); };
    }
    return [this, input, bias, rows = epilogue_rows(io, input_count_), scratch = io.scratch] {
      conv_.run(input(), bias, *epilogue_, rows, threads_, scratch);
    };
  }
  std::string implementation() const override { return conv_.implementation(type_); }
  size_t scratch_bytes() const override { return epilogue_ != nullptr ? conv_.scratch_bytes() : 0; }
  bool reads(size_t input) const override {
    return input == operands_.x || input == operands_.zero_port || input == operands_.bias_port ||
           input >= input_count_;
  }

 private:
  const IntInput::Type type_;
  const IntConv conv_;
  const IntegerOperands operands_;
  const std::shared_ptr<const IntEpilogue> epilogue_;
  const size_t input_count_;
  const int threads_;
};

}  // namespace

IntegerOperands quantized_operands(const LowerContext& c, size_t x, size_t zero) {
  IntegerOperands operands{.x = x};
  if (!c.has(zero)) return operands;
  if (c.input(zero).constant != nullptr) {
    operands.zero = zero_point(c.input(zero).constant->view());
  } else {
    operands.zero_port = zero;
  }
  return operands;
}

std::unique_ptr<Step> make_integer_step(const LowerContext& c, IntConv conv, IntegerOperands operands,
                                        std::shared_ptr<const IntEpilogue> epilogue) {
  return std::make_unique<IntegerStep>(c, std::move(conv), std::move(operands), std::move(epilogue));
}

}  // namespace amct
