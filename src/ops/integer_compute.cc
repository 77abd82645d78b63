#include "ops/integer_compute.h"

#include <string>

namespace amct {
namespace {

[[noreturn]] void not_available(const RunContext& c, const char* what) {
  throw Error(ErrorCode::kUnsupported, std::string("integer ") + what + " is not available",
              {.node = c.node().name, .op = c.node().op});
}

}  // namespace

void run_integer_conv(RunContext& c) { not_available(c, "convolution"); }
void run_integer_conv_transpose(RunContext& c) { not_available(c, "transposed convolution"); }
void run_integer_gemm(RunContext& c) { not_available(c, "gemm"); }
void run_integer_matmul(RunContext& c) { not_available(c, "matrix product"); }
void run_integer_average_pool(RunContext& c) { not_available(c, "average pooling"); }

std::unique_ptr<Step> lower_integer_conv(const LowerContext&) { return nullptr; }
std::unique_ptr<Step> lower_integer_conv_transpose(const LowerContext&) { return nullptr; }
std::unique_ptr<Step> lower_integer_gemm(const LowerContext&) { return nullptr; }
std::unique_ptr<Step> lower_integer_matmul(const LowerContext&) { return nullptr; }
std::unique_ptr<Step> lower_integer_average_pool(const LowerContext&) { return nullptr; }

}  // namespace amct
