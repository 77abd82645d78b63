// Joins chains of arithmetic with constants to one batch normalization.
//
// before -> after: ((x - mean) / sqrt(var + eps)) * gamma + beta, written out   ->   batch_norm(x, …)
//                  batch_norm, mul, add                                         ->   batch_norm
//
// A chain is made of add, sub, mul and div by constants and of batch normalizations, each the only reader of the one
// before; the constants (folded before) are scalars or one number per channel, axis 1. Its maps y = s x + t compose in
// double to one (channel_affine.h), kept as scale = s, bias = t, mean = 0, var = 1, epsilon = 0. The node keeps the
// name of the batch normalization of the chain, or of its last node.
//
// Does not fire on single nodes; on chains without batch normalization that lack a factor, a summand or any constant
// per channel (a scaled input is no batch norm); when the channels are not known; when a number is not finite.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_small_op_batch_norm(Graph& graph, const PassContext& context);

}  // namespace amct
