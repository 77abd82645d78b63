// The schema check: do nodes keep to their rows? Complements ir/verify, which knows no operators.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "ops/op_row.h"

namespace amct {

// True if the value is of the attribute type.
bool has_type(const AttrValue& value, AttrType type);

// Faults of one node against its row: number of inputs and outputs, absent required ones, unknown, missing and wrongly
// typed attributes. Opaque nodes have none. Each fault is a clause: "input 'bias' is missing".
std::vector<std::string> check_schema(const Node& node);

// The faults of all nodes, each with its node's name, and what the shape rules reject. Expects a graph that ir/verify
// finds sound.
std::vector<std::string> verify_ops(const Graph& graph);

}  // namespace amct
