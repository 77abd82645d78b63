// GroupQueryAttention of com.microsoft: what decoders of language models are exported as. Queries, keys and values as
// (batch, tokens, heads * width), or packed behind each other in the last axis; rotary embeddings by tables; earlier
// keys and values in a buffer that may be longer than what it holds.
//
// seqlens_k is one less than the keys of each batch entry. If as many tokens come in as total_sequence_length says,
// they are the first ones; otherwise they are the last of those keys.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/composition.h"
#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

enum Port : size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kLengths,
  kTotal,
  kCosines,
  kSines,
  kPositions,
  kBias,
  kSink
};

struct Heads {
  int64_t query, kv;
  int64_t all() const { return query + 2 * kv; }
};
Heads heads_of(const Node& node) { return {attr_int(node, "num_heads"), attr_int(node, "kv_num_heads")}; }

int64_t width_of(const Dims& query, bool packed, const Heads& heads) {
  return query.at(2) / (packed ? heads.all() : heads.query);
}

void check_rank(const InferContext& c, size_t port, size_t rank) {
  if (c.has(port) && c.shape(port).ranked() && c.shape(port).rank() != rank) {
    c.fail(fmt::format("input {} has rank {}; {} is needed", port, c.shape(port).rank(), rank));
  }
}

void check_node(const InferContext& c) {
  const Heads heads = heads_of(c.node());
  if (heads.query < 1 || heads.kv < 1 || heads.query % heads.kv != 0) {
    c.fail(fmt::format("{} heads of keys do not divide {} heads of queries", heads.kv, heads.query));
  }
  for (const size_t port : {kQuery, kKey, kValue, kPastKey, kPastValue, kCosines, kSines, kBias, kSink}) {
    expect_type(c, port, is_float_type);
  }
  for (const size_t port : {kLengths, kTotal}) {
    if (c.dtype(port) != DType::kUndefined && c.dtype(port) != DType::kInt32)
      c.fail(fmt::format("input {} is no int32", port));
  }
  for (const size_t port : {kQuery, kKey, kValue}) check_rank(c, port, 3);
  for (const size_t port : {kPastKey, kPastValue, kBias}) check_rank(c, port, 4);
  for (const size_t port : {kCosines, kSines}) check_rank(c, port, 2);
  if (c.has(kKey) != c.has(kValue)) c.fail("keys and values come together or not at all");
  if (c.has(kPastKey) != c.has(kPastValue)) c.fail("earlier keys and values come together or not at all");
  if (attr_int(c.node(), "do_rotary") != 0 && !(c.has(kCosines) && c.has(kSines)))
    c.fail("its tables of angles are missing");
}

void check_extents(const InferContext& c, const Dims& query) {
  const Heads heads = heads_of(c.node());
  const bool packed = !c.has(kKey);
  const int64_t width = width_of(query, packed, heads);
  if (query[2] != width * (packed ? heads.all() : heads.query))
    c.fail(fmt::format("its heads do not divide {}", to_string(query)));
  const auto expect = [&](size_t port, const Dims& expected) {
    const auto dims = c.has(port) ? c.shape(port).fixed() : std::nullopt;
    if (dims && *dims != expected)
      c.fail(fmt::format("input {} is {}; {} is needed", port, to_string(*dims), to_string(expected)));
  };
  for (const size_t port : {kKey, kValue}) expect(port, {query[0], query[1], heads.kv * width});
  expect(kLengths, {query[0]});
  if (c.has(kPastKey) && c.shape(kPastKey).is_fixed()) {
    const Dims past = {query[0], heads.kv, c.shape(kPastKey)[2].extent(), width};
    for (const size_t port : {kPastKey, kPastValue}) expect(port, past);
  }
  for (const size_t port : {kCosines, kSines}) {
    const auto dims = c.has(port) ? c.shape(port).fixed() : std::nullopt;
    if (dims && 2 * (*dims)[1] > width) c.fail(fmt::format("input {} has more angles than pairs", port));
  }
  if (c.has(kCosines) && c.has(kSines) && c.shape(kCosines).is_fixed()) expect(kSines, *c.shape(kCosines).fixed());
  expect(kSink, {heads.query});
  expect_single(c, kTotal);
  const auto bias = c.has(kBias) ? c.shape(kBias).fixed() : std::nullopt;
  const Dims whole = {query[0], heads.query, query[1]};
  for (size_t i = 0; bias && i < whole.size(); ++i) {
    if ((*bias)[i] != 1 && (*bias)[i] != whole[i])
      c.fail(fmt::format("its attention bias has shape {}", to_string(*bias)));
  }
}

void infer(InferContext& c) {
  check_node(c);
  const auto query = c.shape(kQuery).fixed();
  if (!query) {
    c.set_output(0, c.dtype(kQuery), Shape::of_rank(3));
    for (const size_t port : {1, 2}) c.set_output(port, c.dtype(kQuery), Shape::of_rank(4));
    return;
  }
  check_extents(c, *query);
  const Heads heads = heads_of(c.node());
  const int64_t width = width_of(*query, !c.has(kKey), heads);
  Dim keys;
  const auto total = c.ints(kTotal);
  if (total && (!c.has(kPastKey) || c.shape(kPastKey).is_fixed())) {
    keys = std::max((*total)[0], c.has(kPastKey) ? c.shape(kPastKey)[2].extent() : 0);
    if ((*total)[0] < (*query)[1]) c.fail(fmt::format("a total length of {} for {} tokens", (*total)[0], (*query)[1]));
  }
  c.set_output(0, c.dtype(kQuery), Shape::of({(*query)[0], (*query)[1], heads.query * width}));
  for (const size_t port : {1, 2}) {
    c.set_output(port, c.dtype(kQuery), Shape({Dim((*query)[0]), Dim(heads.kv), keys, Dim(width)}));
  }
}

TensorView advanced(TensorView view, int64_t elements) {
  if (view.data != nullptr) {
    view.data = static_cast<const std::byte*>(view.data) + static_cast<size_t>(elements) * element_bytes(view.dtype);
  }
  return view;
}

// Lengths of each batch entry, once they are there.
void read_lengths(const Node& node, AttentionProblem& p, const TensorView& lengths, int64_t total) {
  const auto batch = static_cast<size_t>(p.batch);
  p.past_lengths.assign(batch, 0);
  p.key_counts.assign(batch, p.keys);
  const int64_t buffer = p.key.past ? p.key.past.dims[2] : 0;
  if (lengths.data != nullptr) {
    for (size_t b = 0; b < batch; ++b) {
      p.key_counts[b] = static_cast<int64_t>(lengths.as<int32_t>()[b]) + 1;
      if (p.queries != total) p.past_lengths[b] = p.key_counts[b] - p.queries;
      const bool sound = p.key_counts[b] <= p.keys && p.past_lengths[b] >= 0 && p.past_lengths[b] <= buffer &&
                         p.past_lengths[b] + p.queries <= p.keys;
      if (!sound) {
        throw Error(ErrorCode::kInput,
                    fmt::format("its length of {} keys does not fit {} fresh tokens and a buffer of {}",
                                p.key_counts[b], p.queries, buffer),
                    {.node = node.name, .op = node.op});
      }
      if (p.rotation.cosines && p.past_lengths[b] + p.queries > p.rotation.cosines.dims[0]) {
        throw Error(ErrorCode::kInput,
                    fmt::format("its tables have no angles for position {}", p.past_lengths[b] + p.queries - 1),
                    {.node = node.name, .op = node.op});
      }
    }
  }
  p.places = p.past_lengths;
}

AttentionProblem make_problem(const Node& node, const std::vector<TensorView>& inputs,
                              const std::vector<MutableView>& outputs) {
  const auto input = [&](size_t port) { return port < inputs.size() ? inputs[port] : TensorView(); };
  const auto output = [&](size_t port) { return port < outputs.size() ? outputs[port] : MutableView(); };
  const Heads heads = heads_of(node);
  const bool packed = !input(kKey);
  const Dims& query = input(kQuery).dims;
  const int64_t width = width_of(query, packed, heads), tokens = query[1];
  AttentionProblem p{.batch = query[0], .heads = heads.query, .kv_heads = heads.kv, .queries = tokens};
  const HeadStrides together = tokens_first(heads.all(), tokens, width);
  const auto source = [&](size_t fresh, size_t past, int64_t first_head, MutableView present) {
    KeyValues kv{.fresh = packed ? advanced(input(kQuery), first_head * width) : input(fresh),
                 .past = input(past),
                 .fresh_strides = packed ? together : tokens_first(heads.kv, tokens, width),
                 .width = width,
                 .fresh_tokens = tokens,
                 .present = std::move(present)};
    if (kv.past) kv.past_strides = heads_first(heads.kv, kv.past.dims[2], width);
    return kv;
  };
  p.key = source(kKey, kPastKey, heads.query, output(1));
  p.value = source(kValue, kPastValue, heads.query + heads.kv, output(2));
  const int64_t buffer = p.key.past ? p.key.past.dims[2] : 0;
  const bool known = input(kTotal).data != nullptr;
  const int64_t total = known ? *input(kTotal).as<int32_t>() : p.key.present ? p.key.present.dims[2] : buffer + tokens;
  p.keys = p.key.present ? p.key.present.dims[2] : std::max(total, buffer);
  if (attr_int(node, "do_rotary") != 0) {
    p.rotation = {.cosines = input(kCosines),
                  .sines = input(kSines),
                  .width = 2 * input(kCosines).dims[1],
                  .interleaved = attr_int(node, "rotary_interleaved") != 0};
  }
  read_lengths(node, p, input(kLengths), total);
  p.width = width;
  const double scale = attr_float(node, "scale");
  p.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(width, 1)));
  p.softcap = attr_float(node, "softcap");
  p.causal = attr_int(node, "causal") != 0;
  if (const int64_t window = attr_int(node, "local_window_size"); window > 0) p.left = window - 1;
  if (input(kBias)) p.biases.push_back(broadcast_bias(input(kBias)));
  p.sinks = input(kSink);
  p.smooth_softmax = attr_int(node, "smooth_softmax") > 0;
  p.query = input(kQuery);
  p.query_strides = packed ? together : tokens_first(heads.query, tokens, width);
  p.output = output(0);
  p.output_strides = tokens_first(heads.query, tokens, width);
  return p;
}

void run(RunContext& c) { run_attention(c, make_problem); }

// Without the keys' extent as an output or a constant, a program cannot be sized beforehand.
std::unique_ptr<Step> lower(const LowerContext& c) {
  const bool sized = c.node().output(1).valid() || c.input(kTotal).constant != nullptr;
  return sized ? lower_attention(c, make_problem, true) : nullptr;
}

void import_grouped(ImportContext& c) {
  const auto refuse = [&](const char* name, bool given) {
    if (given) c.unsupported(fmt::format("'{}' is not known", name));
  };
  refuse("position_ids", c.input(kPositions).valid());
  for (size_t port = 12; port < c.foreign().inputs.size(); ++port) {
    refuse("k_scale, v_scale, q_norm_weight or k_norm_weight", c.input(port).valid());
  }
  refuse("output_qk", is_wanted(c, 3));
  refuse("kv_cache_bit_width", c.attrs().get<int64_t>("kv_cache_bit_width", 0) != 0);
  refuse("sliding_window_cache", c.attrs().get<int64_t>("sliding_window_cache", 0) != 0);
  Attrs attrs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (c.row().attr(name) != nullptr) attrs.set(name, value);
    const bool idle = name == "kv_cache_bit_width" || name == "sliding_window_cache" || name == "qk_output" ||
                      name == "qk_norm_epsilon" || name == "k_quant_type" || name == "v_quant_type";
    if (!idle && c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  c.add(c.foreign().inputs, std::move(attrs));
}

SampleInput numbers(Dims dims, std::vector<int32_t> values) {
  return fixed(Tensor::of<int32_t>(std::move(dims), values));
}

std::vector<Sample> samples() {
  const Attrs heads{{"num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}};
  const auto with = [&](Attrs more) {
    Attrs attrs = heads;
    for (const auto& [name, value] : more.items()) attrs.set(name, value);
    return attrs;
  };
  const auto inputs = [](int64_t batch, int64_t tokens, int64_t past, std::vector<int32_t> lengths, int32_t total) {
    std::vector<SampleInput> list{random_input({batch, tokens, 64}),
                                  random_input({batch, tokens, 32}),
                                  random_input({batch, tokens, 32}),
                                  random_input({batch, 2, past, 16}),
                                  random_input({batch, 2, past, 16}),
                                  numbers({batch}, std::move(lengths)),
                                  numbers({1}, {total})};
    if (past == 0) list[kPastKey] = list[kPastValue] = absent_input();
    return list;
  };
  std::vector<Sample> samples = {
      {.name = "prompt", .inputs = inputs(2, 5, 0, {4, 4}, 5), .attrs = heads, .outputs = 3},
      {.name = "decode", .inputs = inputs(2, 1, 6, {6, 4}, 7), .attrs = heads, .outputs = 3},
      {.name = "window_capped",
       .inputs = inputs(1, 7, 0, {6}, 7),
       .attrs = with({{"local_window_size", int64_t{3}}, {"softcap", 3.0}, {"scale", 0.5}}),
       .outputs = 3},
      {.name = "rotary_packed",
       .inputs = inputs(1, 5, 0, {4}, 5),
       .attrs = with({{"do_rotary", int64_t{1}}, {"rotary_interleaved", int64_t{1}}}),
       .outputs = 3},
      {.name = "rotary_decode",
       .inputs = inputs(2, 1, 6, {6, 3}, 7),
       .attrs = with({{"do_rotary", int64_t{1}}}),
       .outputs = 3},
  };
  samples[3].inputs[kQuery] = random_input({1, 5, 128});
  samples[3].inputs[kKey] = samples[3].inputs[kValue] = absent_input();
  for (const size_t i : {3, 4}) {
    samples[i].inputs.push_back(random_weight({9, 8}));
    samples[i].inputs.push_back(random_weight({9, 8}));
  }
  return samples;
}

}  // namespace

void add_group_query_attention_op(OpTable& table) {
  const auto optional = [](std::string name, Role role = Role::kActivation) {
    return InputPort{.name = std::move(name), .role = role, .optional = true};
  };
  table.add(
      {.name = "group_query_attention",
       .doc = "Causal attention of language models, with grouped queries, rotary embeddings and earlier tokens.",
       .inputs = {{"query"},
                  optional("key"),
                  optional("value"),
                  optional("past_key"),
                  optional("past_value"),
                  {"seqlens_k", Role::kParameter},
                  {"total_sequence_length", Role::kShape},
                  optional("cos_cache", Role::kParameter),
                  optional("sin_cache", Role::kParameter),
                  optional("position_ids", Role::kParameter),
                  optional("attention_bias"),
                  optional("head_sink", Role::kParameter)},
       .outputs = {{"output"}, {"present_key", true}, {"present_value", true}},
       .attrs = {required_attr("num_heads", AttrType::kInt), required_attr("kv_num_heads", AttrType::kInt),
                 int_attr("causal", 1), float_attr("scale", 0), float_attr("softcap", 0), int_attr("do_rotary", 0),
                 int_attr("rotary_interleaved", 0), int_attr("local_window_size", -1), int_attr("smooth_softmax", -1)},
       .infer = infer,
       .timing = ShapeTiming::kFromValues,
       .run = run,
       .lower = lower,
       .quant = QuantRule::keep_float("both operands of its products are computed"),
       .axes = axes_none,
       .spellings = {{.domain = kMicrosoft, .type = "GroupQueryAttention", .import = import_grouped}},
       .samples = samples});
}

}  // namespace amct
