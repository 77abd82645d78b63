// What the pooling rows share: shape rule, coupling and lowering.
#pragma once

#include "kernels/dnnl/pooling.h"
#include "ops/op_row.h"
#include "ops/window.h"

namespace amct {

std::vector<AttrSpec> pool_attrs();  // kernel_shape, the window's attributes and ceil_mode

// Output 0 (and 1, int64, if `with_indices`) from the window; `dtype` is that of output 0.
void infer_pool(InferContext& c, DType dtype, bool with_indices = false);
void infer_global_pool(InferContext& c);  // one element per channel

// The window of a node for concrete input extents; the whole image for global pools.
dnn::Window pool_window(const Node& node, const Dims& x);
dnn::Window whole_image(const Dims& x);

std::unique_ptr<Step> lower_pool(const LowerContext& c, dnn::PoolingSpec::Kind kind, dnn::Window window);

std::vector<AxisRelation> axes_pool(const AxesContext& c);         // batch and channels pass, images are locked
std::vector<AxisRelation> axes_global_pool(const AxesContext& c);  // batch and channels pass, images are reduced

}  // namespace amct
