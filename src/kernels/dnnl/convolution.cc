#include "kernels/dnnl/convolution.h"

#include "kernels/dnnl/seam.h"

namespace amct::dnn {
namespace {

constexpr int kSource = 0, kWeights = 1, kBias = 2, kFirstOperand = 3;  // addresses to bind

dnnl::memory::dims less_one(const Dims& dilations) {
  dnnl::memory::dims result;
  for (const int64_t dilation : dilations) result.push_back(dilation - 1);  // the library counts from 0
  return result;
}

template <typename P>
std::unique_ptr<Kernel> create(const ConvolutionSpec& spec, dnnl::algorithm algorithm) {
  const MemoryDesc src = in_order(spec.src);
  const MemoryDesc dst = in_order(spec.dst);
  Dims weight_dims = spec.weight_dims;
  if (spec.groups > 1) {
    weight_dims[0] /= spec.groups;
    weight_dims.insert(weight_dims.begin(), spec.groups);
  }
  const MemoryDesc bias = spec.has_bias ? plain({spec.weight_dims[0]}) : MemoryDesc();
  const auto desc = make_desc<P>(make_attr(spec.post_ops, dst), dnnl::prop_kind::forward_inference, algorithm, src,
                                 any_format(weight_dims), bias, dst, spec.window.strides,
                                 less_one(spec.window.dilations), spec.window.pads_begin, spec.window.pads_end);
  KernelBuilder builder;
  if (!builder.take<P>(desc)) return nullptr;
  builder.input(DNNL_ARG_SRC, src, kSource);
  builder.packed(DNNL_ARG_WEIGHTS, plain(weight_dims), desc.weights_desc(), spec.weights, kWeights);
  if (spec.has_bias) builder.packed(DNNL_ARG_BIAS, bias, bias, spec.bias, kBias);
  builder.operands(spec.post_ops, dst, kFirstOperand);
  builder.output(dst);
  return builder.finish();
}

}  // namespace

std::unique_ptr<Kernel> make_convolution(const ConvolutionSpec& spec) {
  if (!has_elements(spec.src.dims) || !has_elements(spec.dst.dims) || !has_elements(spec.weight_dims)) return nullptr;
  return guarded(spec.threads, [&] {
    return spec.transposed ? create<dnnl::deconvolution_forward>(spec, dnnl::algorithm::deconvolution_direct)
                           : create<dnnl::convolution_forward>(spec, dnnl::algorithm::convolution_direct);
  });
}

}  // namespace amct::dnn
