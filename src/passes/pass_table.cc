// The passes, in order. A row's `place` says why the pass stands where it stands.
#include "passes/execution/fuse_qdq_into_integer.h"
#include "passes/execution/join_gates.h"
#include "passes/execution/join_gelu.h"
#include "passes/execution/join_norms.h"
#include "passes/execution/move_dequantize_down.h"
#include "passes/execution/tabulate_bytes.h"
#include "passes/fusion/fuse_bn_before_conv.h"
#include "passes/fusion/fuse_bn_into_conv.h"
#include "passes/fusion/fuse_matmul_add_into_gemm.h"
#include "passes/fusion/fuse_mul_add_into_conv.h"
#include "passes/fusion/fuse_pad_into_conv.h"
#include "passes/fusion/fuse_split_conv_into_group_conv.h"
#include "passes/pass.h"
#include "passes/rewrite_subgraphs.h"
#include "passes/simplify/eliminate_common_subexpressions.h"
#include "passes/simplify/eliminate_dead_code.h"
#include "passes/simplify/eliminate_identity.h"
#include "passes/simplify/fold_constants.h"
#include "passes/simplify/fold_shape_computations.h"
#include "passes/simplify/fuse_small_op_batch_norm.h"
#include "passes/simplify/inline_if.h"
#include "passes/simplify/merge_reshapes.h"
#include "passes/simplify/merge_transposes.h"

namespace amct {

const std::vector<PassInfo>& simplify_passes() {
  static const std::vector<PassInfo> passes = {
      {"eliminate_dead_code", "Removes nodes whose results nobody needs, and constants that nobody reads.",
       "first: what goes need not be looked at", Effect::kExact, eliminate_dead_code},
      {"fold_shape_computations", "Replaces values that follow from known shapes by constants.",
       "before folding constants: it feeds them", Effect::kExact, fold_shape_computations},
      {"fold_constants", "Computes nodes of constants once.", "before everything that looks for constants",
       Effect::kExact, fold_constants},
      {"inline_if", "Puts the branch of an If whose condition is constant in its place.",
       "after folding constants, which finds such conditions", Effect::kExact, inline_if},
      {"eliminate_identity", "Removes nodes that hand one input through unchanged.",
       "before the matching of patterns, which they would stand between", Effect::kExact, eliminate_identity},
      {"merge_transposes", "Joins transposes that follow each other.", "after identities that stood between them",
       Effect::kExact, merge_transposes},
      {"merge_reshapes", "Joins reshape, flatten, squeeze and unsqueeze that follow each other.",
       "after identities that stood between them", Effect::kExact, merge_reshapes},
      {"eliminate_common_subexpressions", "Computes equal things once.",
       "after the forms are normal: equal things look equal", Effect::kExact, eliminate_common_subexpressions},
      {"fuse_small_op_batch_norm", "Joins chains of arithmetic with constants to one batch normalization.",
       "last: it needs folded constants and single uses", Effect::kRounding, fuse_small_op_batch_norm},
      {"simplify_subgraphs", "Runs this list inside the subgraphs of control flow.",
       "last: what is constant outside has moved in", Effect::kRounding, rewrite_subgraphs},
  };
  return passes;
}

const std::vector<PassInfo>& fusion_passes() {
  static const std::vector<PassInfo> passes = {
      {"fuse_pad_into_conv", "Folds explicit padding into the convolution or pooling behind it.",
       "first: a batch norm before the layer must see all of its padding", Effect::kRounding, fuse_pad_into_conv},
      {"fuse_matmul_add_into_gemm", "Turns a matrix product with a bias into one layer.",
       "before batch norms and factors are folded: a gemm has a bias to take them", Effect::kRounding,
       fuse_matmul_add_into_gemm},
      {"fuse_split_conv_into_group_conv", "Joins convolutions of the parts of one value to a grouped convolution.",
       "before batch norms are folded: one that follows the joined value finds one layer", Effect::kRounding,
       fuse_split_conv_into_group_conv},
      {"fuse_bn_into_conv", "Folds batch normalization into the layer before it.",
       "before folding forwards: a layer takes the batch norm that follows it", Effect::kRounding, fuse_bn_into_conv},
      {"fuse_mul_add_into_conv", "Folds arithmetic with constants into the layer before it.",
       "beside batch norm; rounds repeat until chains of both are used up", Effect::kRounding, fuse_mul_add_into_conv},
      {"fuse_bn_before_conv", "Folds batch normalization into the layer behind it.",
       "last: only batch norms without a layer before them are left", Effect::kRounding, fuse_bn_before_conv},
      {"fuse_in_subgraphs", "Runs this list inside the subgraphs of control flow.", "beside the others",
       Effect::kRounding, rewrite_subgraphs},
  };
  return passes;
}

const std::vector<PassInfo>& execution_passes() {
  static const std::vector<PassInfo> passes = {
      {"join_gates", "Makes x times a gate of x one activation: swish, hard_swish, mish.",
       "anywhere: the patterns of this list do not overlap", Effect::kRounding, join_gates},
      {"join_gelu", "Makes the arithmetic of GELU, exact or by tanh, one activation.", "anywhere", Effect::kRounding,
       join_gelu},
      {"join_norms", "Makes the arithmetic of layer and RMS normalization one operator.", "anywhere", Effect::kRounding,
       join_norms},
      {"join_in_subgraphs", "Runs this list inside the subgraphs of control flow.", "beside the others",
       Effect::kRounding, rewrite_subgraphs_to_run},
  };
  return passes;
}

const std::vector<PassInfo>& integer_passes() {
  static const std::vector<PassInfo> passes = {
      {"move_dequantize_down", "Computes on integers what only moves or picks values.",
       "first: layers see the integers that pooling and reshaping hand on", Effect::kExact, move_dequantize_down},
      {"fuse_qdq_into_integer", "Turns layers between dequantization and quantization into integer layers.",
       "behind it, for both ends of a layer to be in sight", Effect::kLossy, fuse_qdq_into_integer},
      {"tabulate_bytes", "Makes functions of one 8-bit value between dequantization and quantization tables.",
       "last: layers take in the limits that their quantizers imply", Effect::kExact, tabulate_bytes},
  };
  return passes;
}

std::string_view name_of(Effect effect) {
  switch (effect) {
    case Effect::kExact: return "exact";
    case Effect::kRounding: return "rounding";
    case Effect::kLossy: return "lossy";
  }
  internal_error("a pass with an unknown promise");
}

}  // namespace amct
