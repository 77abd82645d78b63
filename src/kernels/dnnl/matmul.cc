#include "kernels/dnnl/matmul.h"

#include "kernels/dnnl/seam.h"

namespace amct::dnn {
namespace {

constexpr int kA = 0, kB = 1, kBias = 2, kFirstOperand = 3;  // addresses to bind

std::unique_ptr<Kernel> create(const MatmulSpec& spec) {
  const MemoryDesc a = spec.a_transposed ? swapped(spec.a_dims) : plain(spec.a_dims);
  const MemoryDesc b = spec.b_transposed ? swapped(spec.b_dims) : plain(spec.b_dims);
  const MemoryDesc dst = plain(spec.dst_dims);
  const bool has_bias = !spec.bias_dims.empty();
  const MemoryDesc bias = has_bias ? plain(spec.bias_dims) : MemoryDesc();
  // A computed operand changes with every call: packing it would cost what it saves.
  const MemoryDesc wanted = spec.b ? any_format(spec.b_dims) : b;
  const auto desc = make_desc<dnnl::matmul>(make_attr(spec.post_ops, dst), a, wanted, bias, dst);
  KernelBuilder builder;
  if (!builder.take<dnnl::matmul>(desc)) return nullptr;
  builder.input(DNNL_ARG_SRC, a, kA);
  builder.packed(DNNL_ARG_WEIGHTS, b, desc.weights_desc(), spec.b, kB);
  if (has_bias) builder.packed(DNNL_ARG_BIAS, bias, bias, spec.bias, kBias);
  builder.operands(spec.post_ops, dst, kFirstOperand);
  builder.output(dst);
  return builder.finish();
}

}  // namespace

std::unique_ptr<Kernel> make_matmul(const MatmulSpec& spec) {
  if (!has_elements(spec.a_dims) || !has_elements(spec.b_dims)) return nullptr;
  return guarded(spec.threads, [&] { return create(spec); });
}

}  // namespace amct::dnn
