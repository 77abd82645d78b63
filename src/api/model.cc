#include "workflow/model.h"
#include "export/onnx/write_onnx.h"
#include "ir/text.h"
#include "workflow/inspect.h"

// The order matters: see seam.h.
#include "api/seam.h"

#include "amct/model.h"

namespace amct {
inline namespace v1 {
namespace {

TensorInfo to_info(const std::string& name, const TensorType& type) {
  TensorInfo info{name, std::string(name_of(type.dtype)), {}};
  for (const Dim& dim : type.shape.dims()) {
    info.extents.push_back(dim.is_fixed() ? std::to_string(dim.extent()) : dim.is_named() ? dim.name() : "?");
  }
  return info;
}

}  // namespace

struct Model::Impl {
  Graph graph;
};

Model Model::load(const std::string& path) {
  Model model;
  model.impl_ = through_seam([&] { return std::make_shared<const Impl>(Impl{load_model(path)}); });
  return model;
}

void Model::save(const std::string& path) const {
  through_seam([&] { write_onnx(impl_->graph, path); });
}

std::string Model::text() const {
  return through_seam([&] { return to_text(impl_->graph); });
}

ModelInfo Model::inspect() const {
  const ModelFacts facts = through_seam([&] { return amct::inspect(impl_->graph); });
  ModelInfo info;
  for (const auto& [name, type] : facts.inputs) info.inputs.push_back(to_info(name, type));
  for (const auto& [name, type] : facts.outputs) info.outputs.push_back(to_info(name, type));
  for (const LayerFacts& layer : facts.layers) {
    info.layers.push_back(
        {layer.name, layer.foreign_type, layer.parameters, layer.macs, layer.quantizable, layer.reason});
  }
  info.operators = facts.operators;
  info.parameters = facts.parameters;
  info.macs = facts.macs;
  return info;
}

std::string version() { return AMCT_VERSION; }

}  // namespace v1
}  // namespace amct
