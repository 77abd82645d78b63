// Compositions: foreign operators that stand for several of ours, such as what ONNX Runtime's optimizer fuses. They are
// taken apart at import, so that every pass sees the layers that a model is made of, and are never written.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/spelling.h"

namespace amct {

struct Composition {
  std::string domain, type;  // in ONNX files, at any version
  std::string row;           // the row whose node keeps the foreign name
  std::string doc;           // "conv, an addition, an activation"
  ImportFn import = nullptr;
};

// The domain of ONNX Runtime's own operators.
inline constexpr const char* kMicrosoft = "com.microsoft";

const std::vector<Composition>& compositions();
const Composition* find_composition(std::string_view domain, std::string_view type);  // null if there is none

// For their import functions. Adds a node of any row, called "<foreign name>.<what>", or by the foreign name itself if
// `what` is empty: the layer key belongs to the node that computes. Returns its outputs.
std::vector<ValueId> compose_all(const ImportContext& c, std::string_view op, std::vector<ValueId> inputs, Attrs attrs,
                                 std::string_view what, size_t outputs);
ValueId compose(const ImportContext& c, std::string_view op, std::vector<ValueId> inputs, Attrs attrs = {},
                std::string_view what = {});
// The shape as far as the file or, failing that, the shape rules know it.
Shape known_shape(const ImportContext& c, ValueId value);
bool is_wanted(const ImportContext& c, size_t output);
// Makes `value` the foreign node's output, if that is wanted.
void bind_output(const ImportContext& c, size_t output, ValueId value);
// Error(kUnsupported) on attributes that neither the row nor `more` knows.
void check_attrs(const ImportContext& c, const std::vector<std::string_view>& more);

// The lists that compositions() is made of.
std::vector<Composition> microsoft_fused_compositions();
std::vector<Composition> microsoft_quantized_compositions();
std::vector<Composition> microsoft_attention_compositions();

}  // namespace amct
