#include "workflow/calibration_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/text.h"
#include "ir/text_lexer.h"
#include "recipe/plan_json.h"
#include "workflow/model.h"

namespace amct {
namespace {

uint64_t hash_text(std::string_view text) { return hash_bytes(std::as_bytes(std::span(text))); }

std::string describe(const PreprocessSpec& spec) {
  return fmt::format("resize={}, resize_to={}, crop={}, mean={}, std={}, color={}, layout={}, filter={}", spec.resize,
                     fmt::join(spec.resize_to, "x"), fmt::join(spec.crop, "x"), fmt::join(spec.mean, "/"),
                     fmt::join(spec.std, "/"), static_cast<int>(spec.color), static_cast<int>(spec.layout),
                     static_cast<int>(spec.filter));
}

std::string describe(const DataSource& source, const DataOptions& options) {
  std::string text = fmt::format("preprocess: {}\n", options.preprocess ? describe(*options.preprocess) : "none");
  for (size_t i = 0; i < options.bin_shapes.size(); ++i) {
    const std::string name = i < options.bin_names.size() ? options.bin_names[i] : "";
    text += fmt::format("input shape: {}:{}\n", name, fmt::join(options.bin_shapes[i], ","));
  }
  for (const DType type : options.bin_types) text += fmt::format("data type: {}\n", name_of(type));
  if (source.size() == 0) return text;
  for (const Dims& dims : source.sample_dims(0)) text += fmt::format("sample: {}\n", fmt::join(dims, "x"));
  return text;
}

uint64_t content_hash(const DataSource& source, const std::vector<InputSpec>& inputs, size_t index) {
  const std::vector<Dims> dims = source.sample_dims(index);
  std::vector<Tensor> tensors;
  std::vector<MutableView> views;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Tensor& tensor = tensors.emplace_back(Tensor::allocate(inputs[i].dtype, dims[i]));
    views.push_back({inputs[i].dtype, dims[i], tensor.mutable_data()});
  }
  source.read(index, views);
  uint64_t hash = 0;
  for (const Tensor& tensor : tensors) hash = hash * 31 + hash_bytes(tensor.bytes());
  return hash;
}

}  // namespace

uint64_t model_hash(const std::filesystem::path& model) { return hash_text(to_text(load_model(model))); }

std::string settings_text(const Plan& plan, const std::vector<std::string>& lines) {
  Plan settings = plan;
  settings.model.clear();
  settings.warnings.clear();
  settings.downgrades.clear();
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text + format_plan(settings);
}

void identify_data(const DataSource& source, const std::vector<InputSpec>& inputs, const DataOptions& options,
                   CalibrationIdentity& identity) {
  identity.data = describe(source, options);
  std::string names;
  for (int64_t i = 0; i < identity.samples; ++i) names += source.sample_name(static_cast<size_t>(i)) + "\n";
  identity.names_hash = hash_text(names);
  if (identity.samples == 0) return;
  identity.content_hash =
      content_hash(source, inputs, 0) ^ content_hash(source, inputs, static_cast<size_t>(identity.samples - 1)) * 3;
}

}  // namespace amct
