// What the rows that move data share: reading shape-like inputs, axes lists, and the ONNX versions in which such an
// input was an attribute of the same name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ops/op_row.h"

namespace amct {

using Ints = std::vector<int64_t>;

InputPort shape_port(std::string name, bool optional = false);

// The integers of an int32 or int64 view; empty for an absent one.
Ints ints_of(const TensorView& view);

// Each axis in [0, rank), in the given order. Throws Error(kInput) on one that is out of range or given twice.
std::vector<size_t> normalize_axes(const Ints& axes, size_t rank);

// Product of dims: fixed if all are (unknown on overflow), the one symbolic dim if the others are 1, otherwise unknown.
Dim product_of(const std::vector<Dim>& dims, size_t begin, size_t end);

// Extents of the ports in logical order, whatever the layout of the run.
Dims logical_input(const RunContext& c, size_t port);
Dims logical_output(const RunContext& c, size_t port);

// Input 0's elements to output 0 unchanged; nothing to do if both are the same memory.
void copy_whole(RunContext& c);

// A tie that is left out when the axis cannot lose anything.
void add_tie(std::vector<AxisRelation>& relations, int64_t channels, std::vector<AxisRef> refs);
// Ties axis k of input `port` and output 0 wherever their extents are equal, except the axes listed.
void tie_same_axes(std::vector<AxisRelation>& relations, const AxesContext& c, size_t port,
                   const std::vector<size_t>& except);

// Import of a version in which input `port` was the ints attribute `attr`; the other attributes are taken by name.
void import_attr_as_input(ImportContext& c, std::string_view attr, size_t port);
// The way back: `needed` is the opset that knows the input.
void export_input_as_attr(ExportContext& c, std::string_view attr, size_t port, int64_t needed);
// Names of all inputs, "" for absent ones.
std::vector<std::string> input_names(const ExportContext& c);
// Default export, except that `attr` (unknown to the target version) must have its default value.
void export_without(ExportContext& c, std::string_view attr, int64_t needed);

}  // namespace amct
