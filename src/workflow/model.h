// Reading a model of any format and bringing it into the form that the verbs work on.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "passes/pass.h"

namespace amct {

// Reads a model; the format is told by content. Deploy models become executable (quantization offsets reach the integer
// layers). Throws Error(kInput) for anything that is not a model.
Graph load_model(const std::filesystem::path& path);

// True if the graph holds quantization already (deploy, fake-quant or QDQ): such a graph is not fused again.
bool is_quantized(const Graph& graph);

// A model to be quantized. Throws Error(kInput) with `hint` for one that is quantized already.
Graph load_float_model(const std::filesystem::path& path, const std::string& hint = "give the float model");

// Simplifies and fuses in place: what every compression starts from. `fuse` false only simplifies.
PipelineReport prepare(Graph& graph, bool fuse = true, const PipelineOptions& options = {});

// A copy to be run: small arithmetic joined to single operators (execution_passes). Values and nodes keep their ids.
std::shared_ptr<const Graph> executable(const Graph& graph);

// Per layer key the nodes that passes made part of the layer.
std::map<std::string, std::vector<std::string>> folded_nodes(const PipelineReport& passes);

// Brings a graph with Q/DQ into the form that runs fastest, integer layers; others stay as they are. Quantized values
// may change by a quantum. For execution alone.
PipelineReport lower_for_execution(Graph& graph, const PipelineOptions& options = {});

// How samples go into the inputs of a graph: by rows of their first axes, where these agree. Where they do not (a state
// with an axis of layers in front beside frames of sound), a run takes one sample, and inputs whose first extent is not
// 1 are part of it as they are, as are scalars.
struct Batching {
  size_t rows = 1;          // samples in a run
  std::vector<bool> whole;  // by input: has no axis of samples
};
Batching batching_of(const Graph& graph);

// The graph's inputs as data must fit them; those without an axis of samples get one in front.
std::vector<InputSpec> input_specs(const Graph& graph);

}  // namespace amct
