#include "kernels/dnnl/reorder.h"

#include "kernels/dnnl/seam.h"

namespace amct::dnn {

std::unique_ptr<Kernel> make_reorder(const Dims& dims, bool from_channels_last, bool to_channels_last, int threads) {
  if (!has_elements(dims)) return nullptr;
  return guarded(threads, [&]() -> std::unique_ptr<Kernel> {
    const MemoryDesc from = in_order({dims, from_channels_last});
    const MemoryDesc to = in_order({dims, to_channels_last});
    const dnnl::reorder::primitive_desc desc(engine(), from, engine(), to, make_attr({}, to), true);
    KernelBuilder builder;
    if (!builder.take<dnnl::reorder>(desc)) return nullptr;
    builder.input(DNNL_ARG_FROM, from, 0);
    builder.output(to);
    return builder.finish();
  });
}

}  // namespace amct::dnn
