// Runs subgraphs as compiled programs: what the executor gives to rows of control flow.
//
// Each worker has a runner of its own, with its own memory; programs are shared by all workers.
#pragma once

#include <memory>
#include <vector>

#include "exec/program.h"

namespace amct {

class SubgraphPrograms;

// For the subgraphs of `node`. `constants` by input port of the node (no tensor where it is not constant): captures
// that are constant are compiled into the subgraphs, as weights are.
std::shared_ptr<SubgraphPrograms> make_subgraph_programs(const Node& node, const std::vector<Tensor>& constants,
                                                         const CompileOptions& options);
// For the subgraphs of any node, without constants.
std::shared_ptr<SubgraphPrograms> make_subgraph_programs(const CompileOptions& options);

// One worker's.
std::shared_ptr<GraphRunner> make_graph_runner(std::shared_ptr<SubgraphPrograms> programs);

}  // namespace amct
