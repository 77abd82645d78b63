// The files that a quantization writes, made from the float graph and a plan with all its factors (spec E.1):
// fake-quantized, deployable and QDQ model, record, quantization file, and the plan. The last step of `quantize`,
// `convert` and the conversion of QAT models, which differ in where the plan comes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "passes/pass.h"
#include "passes/quantize/qdq_targets.h"
#include "plan/plan.h"

namespace amct {

enum class Emit { kFake, kDeploy, kQdq };

struct OutputFile {
  std::filesystem::path path;
  uint64_t bytes = 0;
  std::string purpose;    // "ONNX Runtime (CPU)"
  bool replaced = false;  // another file had this name
};

// A graph that was not asked for is null, but the fake-quantized and the deployable one are always made, the latter
// with 4-bit weights one in a byte. With groups of weights there is no deploy model, nor the files that go with it: the
// deployable graph is the simulation's alone then. With float activations there is none at all.
struct Products {
  std::set<Emit> emit;
  QdqTarget target;
  std::shared_ptr<const Graph> deploy, fake, qdq;
  std::shared_ptr<const Graph> packed;  // the deploy graph as it is written
  std::vector<std::string> notes;       // what is not as one may expect: a clause each
  bool plan_file = true;                // write PREFIX_plan.json as well
  PassReport rewritten = {};            // besides layers, in the deployable and the fake-quantized graph
};

// Throws Error when the plan lacks a factor or one does not fit.
Products make_products(const Graph& graph, const Plan& plan, const std::set<Emit>& emit, const QdqTarget& target);

// Writes the models that were asked for, the record, the quantization file and the plan, all or none, to paths that
// begin with `prefix`. `folded`: per layer key the nodes of the original model that are part of the layer.
std::vector<OutputFile> write_products(const Products& products, const Plan& plan,
                                       const std::map<std::string, std::vector<std::string>>& folded,
                                       const std::filesystem::path& prefix);

}  // namespace amct
