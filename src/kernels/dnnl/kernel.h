// What every oneDNN kernel of ours has in common, without a type of oneDNN.
//
// A kernel is a float32 primitive created once for fixed extents and memory orders, with constant operands packed to
// the form the primitive likes best. It is immutable and shared by all workers; `bind` ties it to the addresses of one
// worker and returns the call. The library's scratchpad is memory of the caller: with the library's own, a primitive
// created on one thread and executed on another is unsafe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/shape.h"

namespace amct::dnn {

// Extents of an activation in logical order (N, C, spatial…) and its order in memory.
struct Operand {
  Dims dims;
  bool channels_last = false;  // (N, spatial…, C); no meaning below rank 3
};

// An operation on every element of the result, applied in order before it is stored.
struct PostOp {
  enum class Kind {
    kClip,       // min(max(x, alpha), beta)
    kLeakyRelu,  // x < 0 ? alpha x : x
    kElu,        // x < 0 ? alpha (exp(x) - 1) : x
    kSigmoid,
    kTanh,
    kGeluErf,
    kGeluTanh,
    kSwish,        // x sigmoid(alpha x)
    kHardSwish,    // x min(max(x / 6 + 1/2, 0), 1)
    kHardSigmoid,  // min(max(alpha x + beta, 0), 1)
    kSoftplus,
    kSqrt,
    kAbs,
    kExp,
    kLog,
    kLinear,  // alpha x + beta
    kAdd,     // x + operand; the operand has the extents and order of the result
    kSum,     // x + what the result's memory held before: an addition in place; once at most
  };
  Kind kind = Kind::kClip;
  float alpha = 0;
  float beta = 0;
};

// A sliding window over the spatial axes; every list has one entry per spatial axis.
struct Window {
  Dims kernel, strides, dilations, pads_begin, pads_end;
};

class Kernel {
 public:
  struct Impl;
  explicit Kernel(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  // The call for these addresses. `inputs` are those that the kernel's factory names, then the operands of kAdd in
  // order; entries of constant or absent operands are not read and may be null. `scratch` is 64-byte aligned,
  // `scratch_bytes` long, and of this worker alone. Throws Error(kResource); so may the call.
  std::function<void()> bind(std::span<const void* const> inputs, void* output, std::byte* scratch) const;
  size_t scratch_bytes() const;
  bool reads(int input) const;                // false if entry `input` of bind's inputs is not read
  const std::string& implementation() const;  // the library's name for what runs: "jit:avx512_core"

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace amct::dnn
