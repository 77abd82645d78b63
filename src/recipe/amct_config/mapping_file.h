// The file that `nuq_config.mapping_file` names: JSON that says which layers gain from non-uniform weights.
//
// Three forms are read: a list of names; an object whose `layers` are names or objects with a `name` (the file
// PREFIX_quant.json; those with "quantized": false do not count); and what the Ascend compiler writes about an offline
// model: `graph[].op[]` with a `name`, and the names of the operators that went into it in the attribute
// `_datadump_original_op_names`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace amct::config {

// Every name once, in order. Throws Error(kConfig) with file and place for faulty syntax and a file without names.
std::vector<std::string> parse_mapping(std::string_view text, const std::string& file);

}  // namespace amct::config
