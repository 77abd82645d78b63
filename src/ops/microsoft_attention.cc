// Attention of com.microsoft: the projection of its input to queries, keys and values, a layer like others, and
// multi_head_attention.
#include <fmt/core.h>

#include "ops/composition.h"
#include "ops/op_row.h"

namespace amct {
namespace {

// Ports of multi_head_attention.
enum Port : size_t { kKeyMask = 4, kScoreBias, kPastKey };

// Sizes of queries, keys and values in the projection.
std::vector<int64_t> projection_sizes(const ImportContext& c) {
  const auto sizes = c.attrs().get<std::vector<int64_t>>("qkv_hidden_sizes", {});
  if (sizes.size() == 3) return sizes;
  const Shape& weights = c.type(1).shape;
  if (!weights.ranked() || weights.rank() != 2 || !weights[1].is_fixed()) c.unsupported("weights of unknown shape");
  return std::vector<int64_t>(3, weights[1].extent() / 3);
}

void import_attention(ImportContext& c) {
  enum : size_t { kInput, kWeights, kProjectionBias, kMaskIndex, kPast, kAttentionBias, kPastLength };
  for (const char* name : {"do_rotary", "past_present_share_buffer", "rotary_embedding_dim"}) {
    if (c.attrs().get<int64_t>(name, 0) != 0) c.unsupported(fmt::format("attribute '{}'", name));
  }
  if (c.input(kPastLength).valid()) c.unsupported("earlier keys and values in a shared buffer");
  Attrs attrs;
  for (const char* name : {"num_heads", "unidirectional", "scale", "mask_filter_value"}) {
    if (const AttrValue* value = c.attrs().find(name)) attrs.set(name, *value);
  }
  ValueId projected = compose(c, "matmul", {c.input(kInput), c.input(kWeights)});
  if (c.input(kProjectionBias).valid())
    projected = compose(c, "add", {projected, c.input(kProjectionBias)}, {}, "biased");
  const ValueId sizes = c.ints_constant("sizes", projection_sizes(c));
  std::vector<ValueId> inputs = compose_all(c, "split", {projected, sizes}, {{"axis", int64_t{-1}}}, "qkv", 3);
  inputs.resize(8, kNoValue);
  inputs[kKeyMask] = c.input(kMaskIndex);
  inputs[kScoreBias] = c.input(kAttentionBias);
  for (const int64_t which : {0, 1}) {
    if (!c.input(kPast).valid()) break;
    const ValueId index = c.constant(fmt::format("which_{}", which), Tensor::scalar<int64_t>(which));
    inputs[kPastKey + static_cast<size_t>(which)] =
        compose(c, "gather", {c.input(kPast), index}, {{"axis", int64_t{0}}}, fmt::format("past_{}", which));
  }
  const bool present = is_wanted(c, 1);
  const std::vector<ValueId> y =
      compose_all(c, "multi_head_attention", inputs, std::move(attrs), "heads", present ? 3 : 1);
  bind_output(c, 0, y[0]);
  if (!present) return;
  const ValueId axis = c.ints_constant("axis", {0});
  bind_output(c, 1,
              compose(c, "concat",
                      {compose(c, "unsqueeze", {y[1], axis}, {}, "present_key"),
                       compose(c, "unsqueeze", {y[2], axis}, {}, "present_value")},
                      {{"axis", int64_t{0}}}, "present"));
}

}  // namespace

std::vector<Composition> microsoft_attention_compositions() {
  return {{kMicrosoft, "Attention", "matmul", "matmul, add, split, multi_head_attention", import_attention}};
}

}  // namespace amct
