// The steps that the executor itself supplies: running a row's plain kernel, and changing a layout.
#pragma once

#include <memory>
#include <vector>

#include "exec/program.h"

namespace amct {

// Runs `node.row->run` on the bound views. The node must outlive the step. Its subgraphs, if it has any, run as
// compiled programs; `constants` gives its inputs that are constant, by port.
std::unique_ptr<Step> make_run_step(const Node& node, Layout layout, const CompileOptions& options,
                                    const std::vector<Tensor>& constants);

// Copies a value of logical extents `dims` from one layout to the other.
std::unique_ptr<Step> make_reorder_step(const Dims& dims, Layout to);

// Reorders a whole tensor (constants, at compile time).
Tensor to_layout(const Tensor& tensor, Layout layout);

// True if input `port` comes in the layout that the node works in, where its extents have layouts; and the one it has.
bool follows_layout(const Node& node, size_t port);
Layout port_layout(const Node& node, size_t port, const Dims& extents, Layout layout);

// True if both layouts store these extents in the same order (rank below 3, one channel, or one position).
bool same_order_in_all_layouts(const Dims& dims);

}  // namespace amct
