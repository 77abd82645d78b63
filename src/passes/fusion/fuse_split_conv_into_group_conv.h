// Joins convolutions of the parts of one value to a grouped convolution (spec D.6).
//
// before -> after: concat(conv(x_1, W_1, b_1), …, conv(x_n, W_n, b_n)), x_i = split(x)
//                                        ->   conv(x, [W_1 … W_n], [b_1 … b_n], group = n * group)
//
// Split and Concat work along the channels, parts and weights are of one size, the convolutions have the same
// attributes and constant weights, all with a bias or none; their order is that of the parts. The grouped convolution
// keeps the name of the first. Does not fire where a part or a result has other uses, and says so where the weights or
// attributes differ or the user wants one of the layers left alone.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_split_conv_into_group_conv(Graph& graph, const PassContext& context);

}  // namespace amct
