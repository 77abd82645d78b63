#include "kernels/dnnl/pooling.h"

#include <algorithm>

#include "kernels/dnnl/seam.h"

namespace amct::dnn {
namespace {

#if DNNL_VERSION_MAJOR >= 3
using Pooling = dnnl::pooling_forward;
#else
using Pooling = dnnl::pooling_v2_forward;  // the one with dilations
#endif

dnnl::algorithm algorithm_of(PoolingSpec::Kind kind) {
  switch (kind) {
    case PoolingSpec::Kind::kMax: return dnnl::algorithm::pooling_max;
    case PoolingSpec::Kind::kAverageInside: return dnnl::algorithm::pooling_avg_exclude_padding;
    case PoolingSpec::Kind::kAveragePadded: return dnnl::algorithm::pooling_avg_include_padding;
  }
  internal_error("unknown kind of pooling");
}

std::unique_ptr<Kernel> create(const PoolingSpec& spec) {
  const MemoryDesc src = in_order(spec.src);
  const MemoryDesc dst = in_order(spec.dst);
  dnnl::memory::dims dilations;
  for (const int64_t dilation : spec.window.dilations) dilations.push_back(dilation - 1);
  const auto desc = make_desc<Pooling>(make_attr(spec.post_ops, dst), dnnl::prop_kind::forward_inference,
                                       algorithm_of(spec.kind), src, dst, spec.window.strides, spec.window.kernel,
                                       dilations, spec.window.pads_begin, spec.window.pads_end);
  KernelBuilder builder;
  if (!builder.take<Pooling>(desc)) return nullptr;
  builder.input(DNNL_ARG_SRC, src, 0);
  builder.operands(spec.post_ops, dst, 1);
  builder.output(dst);
  return builder.finish();
}

}  // namespace

std::unique_ptr<Kernel> make_pooling(const PoolingSpec& spec) {
  if (!has_elements(spec.src.dims) || !has_elements(spec.dst.dims)) return nullptr;
  // Some implementations accept a sum and leave it out.
  const auto is_sum = [](const PostOp& op) { return op.kind == PostOp::Kind::kSum; };
  if (std::any_of(spec.post_ops.begin(), spec.post_ops.end(), is_sum)) return nullptr;
  return guarded(spec.threads, [&] { return create(spec); });
}

}  // namespace amct::dnn
