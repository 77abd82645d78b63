// Runs the passes of a list inside the subgraphs of control flow (ops/subgraph.h), each once; rounds repeat as outside.
//
// First, captured constants move into the subgraphs that read them, where passes and kernels see them: small ones
// always, large ones where nobody else reads them, so that no file grows by a second copy. Captures that no subgraph
// reads any more go. A subgraph in which a pass fails is left alone: it may be a branch that is impossible for the
// extents at hand and never taken. Names of graph inputs and outputs do not matter inside: subgraphs are called by
// position.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport rewrite_subgraphs(Graph& graph, const PassContext& context);

// For graphs that are run and never written: large constants move in wherever they are read, and what follows from
// them is folded there, so that a layer whose weights several branches share finds them packed.
PassReport rewrite_subgraphs_to_run(Graph& graph, const PassContext& context);

}  // namespace amct
