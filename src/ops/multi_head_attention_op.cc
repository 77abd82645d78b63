// MultiHeadAttention of com.microsoft, on the core of ops/attention.h.
//
// MultiHeadAttention takes (batch, tokens, heads * width) operands, keys and values as (batch, heads, tokens, width)
// too, or queries, keys and values packed as (batch, tokens, heads, 3, width). A key padding mask is the number of keys
// of each batch entry, or 0 where a key is hidden, which adds mask_filter_value. Its bias is added by nodes of its own.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/composition.h"
#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

enum Port : size_t { kQuery, kKey, kValue, kBias, kKeyMask, kScoreBias, kPastKey, kPastValue };

int64_t heads_of(const Node& node) { return attr_int(node, "num_heads"); }

void check_rank(const InferContext& c, size_t port, std::initializer_list<size_t> ranks) {
  if (!c.has(port) || !c.shape(port).ranked()) return;
  if (std::find(ranks.begin(), ranks.end(), c.shape(port).rank()) == ranks.end()) {
    c.fail(fmt::format("input {} has rank {}", port, c.shape(port).rank()));
  }
}

struct Known {
  Dims query, key, value;
  bool packed = false;
};

// Extents where they are all known.
std::optional<Known> known_extents(const InferContext& c) {
  const auto query = c.shape(kQuery).fixed();
  if (!query) return std::nullopt;
  if (query->size() == 5) return Known{*query, {}, {}, true};
  const auto key = c.has(kKey) ? c.shape(kKey).fixed() : std::nullopt;
  const auto value = c.has(kValue) ? c.shape(kValue).fixed() : std::nullopt;
  if (!key || !value) return std::nullopt;
  return Known{*query, *key, *value, false};
}

struct Extents {
  int64_t batch, queries, fresh, width, value_width;
};

Extents extents_of(const Known& known, int64_t heads) {
  const Dims& q = known.query;
  if (known.packed) return {q[0], q[1], q[1], q[4], q[4]};
  const bool outside = known.value.size() == 4;
  return {q[0], q[1], known.key.size() == 4 ? known.key[2] : known.key[1], q[2] / heads,
          outside ? known.value[3] : known.value[2] / heads};
}

void check_extents(const InferContext& c, const Known& known, int64_t heads) {
  const auto divided = [&](const Dims& dims) { return dims.size() != 3 || dims[2] % heads == 0; };
  if (known.packed) {
    if (known.query[2] != heads || known.query[3] != 3)
      c.fail(fmt::format("its packed input is {}", to_string(known.query)));
    return;
  }
  if (!divided(known.query) || !divided(known.key) || !divided(known.value)) {
    c.fail(fmt::format("{} heads do not divide its channels", heads));
  }
  const Extents e = extents_of(known, heads);
  const auto fits = [&](const Dims& dims, int64_t width) {
    return dims.size() == 4 ? dims == Dims{e.batch, heads, e.fresh, width}
                            : dims == Dims{e.batch, e.fresh, heads * width};
  };
  if (!fits(known.key, e.width) || !fits(known.value, e.value_width)) {
    c.fail(fmt::format("its keys {} and values {} do not fit queries {}", to_string(known.key), to_string(known.value),
                       to_string(known.query)));
  }
}

// Keys in all; a mask and earlier keys are checked against them.
int64_t check_keys(const InferContext& c, const Extents& e, int64_t heads) {
  int64_t past = 0;
  bool known = false;
  for (const size_t port : {kPastKey, kPastValue}) {
    const auto dims = c.has(port) ? c.shape(port).fixed() : std::nullopt;
    if (!dims) continue;
    if (!known && dims->size() == 4) past = dims->at(2);
    known = true;
    if (*dims != Dims{e.batch, heads, past, port == kPastKey ? e.width : e.value_width}) {
      c.fail(fmt::format("input {} has shape {}", port, to_string(*dims)));
    }
  }
  const int64_t keys = past + e.fresh;
  if (const auto mask = c.has(kKeyMask) ? c.shape(kKeyMask).fixed() : std::nullopt) {
    const bool fits = *mask == Dims{e.batch} || *mask == Dims{e.batch, keys} || *mask == Dims{e.batch, e.queries, keys};
    if (!fits) c.fail(fmt::format("its key padding mask has shape {}", to_string(*mask)));
  }
  if (const auto bias = c.has(kScoreBias) ? c.shape(kScoreBias).fixed() : std::nullopt) {
    const Dims whole = {e.batch, heads, e.queries, keys};
    for (size_t i = 0; i < 4; ++i) {
      if (bias->at(i) != whole[i] && (bias->at(i) != 1 || i >= 2)) {
        c.fail(fmt::format("its attention bias has shape {}; {} is needed", to_string(*bias), to_string(whole)));
      }
    }
  }
  return keys;
}

void infer(InferContext& c) {
  const int64_t heads = heads_of(c.node());
  if (heads < 1) c.fail(fmt::format("it has {} heads", heads));
  for (const size_t port : {kQuery, kKey, kValue, kScoreBias, kPastKey, kPastValue})
    expect_type(c, port, is_float_type);
  if (c.has(kBias)) c.fail("its bias is not known; import adds it");
  if (c.has(kKeyMask) && c.dtype(kKeyMask) != DType::kUndefined && !is_integer(c.dtype(kKeyMask))) {
    c.fail("its key padding mask has no integers");
  }
  check_rank(c, kQuery, {3, 5});
  check_rank(c, kKey, {3, 4});
  check_rank(c, kValue, {3, 4});
  for (const size_t port : {kPastKey, kPastValue, kScoreBias}) check_rank(c, port, {4});
  if (c.has(kKey) != c.has(kValue)) c.fail("keys packed with values are not known");
  if (c.has(kPastKey) != c.has(kPastValue)) c.fail("earlier keys and values come together or not at all");
  if (!c.has(kKey) && c.shape(kQuery).ranked() && c.shape(kQuery).rank() != 5) c.fail("its keys are missing");
  const auto known = known_extents(c);
  if (!known) {
    c.set_output(0, c.dtype(kQuery), Shape::of_rank(3));
    for (const size_t port : {1, 2, 3}) c.set_output(port, c.dtype(kQuery), Shape::of_rank(4));
    return;
  }
  check_extents(c, *known, heads);
  const Extents e = extents_of(*known, heads);
  const bool past_known = !c.has(kPastKey) || c.shape(kPastKey).is_fixed();
  const int64_t all = check_keys(c, e, heads);
  const Dim keys = past_known ? Dim(all) : Dim();
  c.set_output(0, c.dtype(kQuery), Shape::of({e.batch, e.queries, heads * e.value_width}));
  c.set_output(1, c.dtype(kQuery), Shape({Dim(e.batch), Dim(heads), keys, Dim(e.width)}));
  c.set_output(2, c.dtype(kQuery), Shape({Dim(e.batch), Dim(heads), keys, Dim(e.value_width)}));
  c.set_output(3, c.dtype(kQuery), Shape({Dim(e.batch), Dim(heads), Dim(e.queries), keys}));
}

// A view whose first element is `elements` further on.
TensorView advanced(TensorView view, int64_t elements) {
  if (view.data != nullptr) {
    view.data = static_cast<const std::byte*>(view.data) + static_cast<size_t>(elements) * element_bytes(view.dtype);
  }
  return view;
}

// One number for each batch entry says how many keys there are; more say, key by key, who is seen.
void add_key_mask(AttentionProblem& p, const TensorView& mask, double hidden) {
  if (!mask) return;
  if (mask.dims.size() == 1) {
    if (mask.data == nullptr) return;
    const Ints numbers = ints_of(mask);
    for (size_t b = 0; b < static_cast<size_t>(p.batch); ++b) p.key_counts[b] = numbers[b];
    return;
  }
  const bool each = mask.dims.size() == 3;
  p.biases.push_back({.values = mask,
                      .strides = {each ? p.queries * p.keys : p.keys, 0, each ? p.keys : 0, 1},
                      .keys = p.keys,
                      .masked = hidden});
}

AttentionProblem make_problem(const Node& node, const std::vector<TensorView>& inputs,
                              const std::vector<MutableView>& outputs) {
  const auto input = [&](size_t port) { return port < inputs.size() ? inputs[port] : TensorView(); };
  const auto output = [&](size_t port) { return port < outputs.size() ? outputs[port] : MutableView(); };
  const int64_t heads = heads_of(node);
  const Known known{input(kQuery).dims, input(kKey).dims, input(kValue).dims, input(kQuery).dims.size() == 5};
  const Extents e = extents_of(known, heads);
  AttentionProblem p{.batch = e.batch, .heads = heads, .kv_heads = heads, .queries = e.queries};
  const HeadStrides packed{e.queries * heads * 3 * e.width, 3 * e.width, heads * 3 * e.width};
  const auto source = [&](size_t port, size_t past, int64_t width, MutableView present) {
    KeyValues kv{
        .fresh = input(port), .past = input(past), .width = width, .fresh_tokens = e.fresh, .present = present};
    kv.fresh_strides =
        kv.fresh.dims.size() == 4 ? heads_first(heads, e.fresh, width) : tokens_first(heads, e.fresh, width);
    if (known.packed) {
      kv.fresh = advanced(input(kQuery), static_cast<int64_t>(port) * width);
      kv.fresh_strides = packed;
    }
    if (kv.past) kv.past_strides = heads_first(heads, kv.past.dims[2], width);
    return kv;
  };
  p.key = source(kKey, kPastKey, e.width, output(1));
  p.value = source(kValue, kPastValue, e.value_width, output(2));
  const int64_t past = p.key.past ? p.key.past.dims[2] : 0;
  p.keys = past + e.fresh;
  p.past_lengths.assign(static_cast<size_t>(e.batch), past);
  p.places = p.past_lengths;
  p.key_counts.assign(static_cast<size_t>(e.batch), p.keys);
  p.width = e.width;
  const double scale = attr_float(node, "scale");
  p.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(e.width, 1)));
  p.causal = attr_int(node, "unidirectional") != 0;
  add_key_mask(p, input(kKeyMask), attr_float(node, "mask_filter_value"));
  if (input(kScoreBias)) p.biases.push_back(broadcast_bias(input(kScoreBias)));
  p.query = input(kQuery);
  p.query_strides = known.packed ? packed : tokens_first(heads, e.queries, e.width);
  p.output = output(0);
  p.output_strides = tokens_first(heads, e.queries, e.value_width);
  p.scores = output(3);
  return p;
}

void run(RunContext& c) { run_attention(c, make_problem); }

std::unique_ptr<Step> lower(const LowerContext& c) {
  return lower_attention(c, make_problem, c.has(kKeyMask) && c.input(kKeyMask).dims.size() == 1);
}

// Constant `bias` cut at `sizes`, each part added to its operand.
void add_bias(const ImportContext& c, ValueId bias, std::vector<ValueId>& operands) {
  const Tensor* values = c.graph().constant(bias);
  if (values == nullptr || values->rank() != 1) c.unsupported("a bias that is not constant");
  const Shape& query = c.graph().value(operands[0]).type.shape;
  const int64_t total = values->dims()[0];
  const bool known = query.ranked() && query.rank() == 3 && query[2].is_fixed();
  const int64_t hidden = known ? query[2].extent() : total / 3;
  if (2 * hidden > total || !operands[1].valid() || !operands[2].valid()) c.unsupported("a bias for packed operands");
  const int64_t begins[] = {0, hidden, 2 * hidden, total};
  const char* names[] = {"query", "key", "value"};
  for (size_t i = 0; i < 3; ++i) {
    const size_t width = element_bytes(values->dtype());
    const auto part = values->bytes().subspan(static_cast<size_t>(begins[i]) * width,
                                              static_cast<size_t>(begins[i + 1] - begins[i]) * width);
    Tensor tensor = Tensor::copy_of(values->dtype(), {begins[i + 1] - begins[i]}, part);
    const ValueId constant = c.constant(fmt::format("{}_bias", names[i]), std::move(tensor));
    operands[i] = compose(c, "add", {operands[i], constant}, {}, names[i]);
  }
}

void import_multi_head(ImportContext& c) {
  check_attrs(c, {});
  for (const size_t port : {8, 9}) {
    if (c.input(port).valid()) c.unsupported("earlier keys and values in a shared buffer");
  }
  std::vector<ValueId> inputs = c.foreign().inputs;
  inputs.resize(8, kNoValue);
  if (inputs[kBias].valid()) add_bias(c, inputs[kBias], inputs);
  inputs[kBias] = kNoValue;
  c.add(std::move(inputs), c.attrs());
}

std::vector<Sample> samples() {
  const auto qkv = [](Dims q, Dims k, Dims v) {
    std::vector<SampleInput> inputs{random_input(std::move(q)), random_input(std::move(k)), random_input(std::move(v))};
    inputs.resize(8, absent_input());
    return inputs;
  };
  std::vector<Sample> samples = {
      {.name = "plain", .inputs = qkv({2, 5, 12}, {2, 7, 12}, {2, 7, 12}), .attrs = {{"num_heads", int64_t{3}}}},
      {.name = "other_width", .inputs = qkv({1, 5, 8}, {1, 6, 8}, {1, 6, 12}), .attrs = {{"num_heads", int64_t{2}}}},
      {.name = "key_mask", .inputs = qkv({2, 4, 8}, {2, 5, 8}, {2, 5, 8}), .attrs = {{"num_heads", int64_t{2}}}},
      {.name = "lengths", .inputs = qkv({2, 4, 8}, {2, 5, 8}, {2, 5, 8}), .attrs = {{"num_heads", int64_t{2}}}},
      {.name = "bias_causal",
       .inputs = qkv({2, 5, 8}, {2, 5, 8}, {2, 5, 8}),
       .attrs = {{"num_heads", int64_t{2}}, {"unidirectional", int64_t{1}}, {"scale", 0.25}}},
      {.name = "past",
       .inputs = qkv({1, 3, 8}, {1, 3, 8}, {1, 3, 8}),
       .attrs = {{"num_heads", int64_t{2}}},
       .outputs = 3},
      {.name = "keys_outside",
       .inputs = qkv({2, 3, 8}, {2, 2, 5, 4}, {2, 2, 5, 4}),
       .attrs = {{"num_heads", int64_t{2}}}},
  };
  samples[2].inputs[kKeyMask] = fixed(Tensor::of<int32_t>({2, 5}, {1, 1, 1, 0, 0, 1, 0, 1, 1, 1}));
  samples[3].inputs[kKeyMask] = fixed(Tensor::of<int32_t>({2}, {3, 5}));
  samples[4].inputs[kScoreBias] = random_input({1, 2, 5, 5});
  samples[5].inputs[kPastKey] = samples[5].inputs[kPastValue] = random_input({1, 2, 4, 4});
  return samples;
}

}  // namespace

void add_multi_head_attention_op(OpTable& table) {
  const auto optional = [](std::string name, Role role = Role::kActivation) {
    return InputPort{.name = std::move(name), .role = role, .optional = true};
  };
  table.add({.name = "multi_head_attention",
             .doc = "Attention of several heads as ONNX Runtime writes it, with padding masks and earlier tokens.",
             .inputs = {{"query"},
                        optional("key"),
                        optional("value"),
                        optional("bias", Role::kBias),
                        optional("key_padding_mask"),
                        optional("attention_bias"),
                        optional("past_key"),
                        optional("past_value")},
             .outputs = {{"output"}, {"present_key", true}, {"present_value", true}, {"qk", true}},
             .attrs = {required_attr("num_heads", AttrType::kInt), int_attr("unidirectional", 0),
                       float_attr("scale", 0), float_attr("mask_filter_value", -10000)},
             .infer = infer,
             .run = run,
             .lower = lower,
             .quant = QuantRule::keep_float("both operands of its products are computed"),
             .axes = axes_none,
             .spellings = {{.domain = kMicrosoft, .type = "MultiHeadAttention", .import = import_multi_head}},
             .samples = samples});
}

}  // namespace amct
