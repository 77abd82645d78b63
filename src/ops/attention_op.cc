// Attention of ONNX: scaled dot-product attention (ops/attention.h) on (batch, heads, tokens, width) or
// (batch, tokens, heads * width), with grouped queries, masks, earlier keys and values, and limits on what is seen.
//
// Softmax is taken in double (plain) or float32 (compiled) whatever softmax_precision asks for: both are at least as
// exact. Where the first edition of opset 23 and the corrected one differ (heads of three-axis inputs, order of groups,
// soft cap before the mask), this is the corrected one.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

enum Port : size_t { kQuery, kKey, kValue, kMask, kPastKey, kPastValue, kKeyCounts };
constexpr int64_t kKeyCountsOpset = 24, kWindowOpset = 25;

// Heads and width of a query, key or value as far as they are known.
struct Operand {
  Dim batch, heads, tokens, width;
};

Dim quotient(const InferContext& c, const Dim& hidden, int64_t heads) {
  if (heads < 1) c.fail("three-axis inputs need the attributes 'q_num_heads' and 'kv_num_heads'");
  if (!hidden.is_fixed()) return {};
  if (hidden.extent() % heads != 0) c.fail(fmt::format("{} heads do not divide {} channels", heads, hidden.extent()));
  return Dim(hidden.extent() / heads);
}

Operand operand_of(const InferContext& c, size_t port) {
  const Shape& shape = c.shape(port);
  if (!shape.ranked()) return {};
  if (shape.rank() == 4) return {shape[0], shape[1], shape[2], shape[3]};
  if (shape.rank() != 3) c.fail(fmt::format("input {} has rank {}; 3 or 4 is needed", port, shape.rank()));
  const int64_t heads = attr_int(c.node(), port == kQuery ? "q_num_heads" : "kv_num_heads");
  const Dim width = quotient(c, shape[2], heads);
  return {shape[0], Dim(heads), shape[1], width};
}

void expect_equal(const InferContext& c, const Dim& a, const Dim& b, const char* what) {
  if (a.is_fixed() && b.is_fixed() && a != b) c.fail(fmt::format("{} differ: {} and {}", what, a.extent(), b.extent()));
}

// Earlier and fresh tokens together.
Dim all_tokens(const InferContext& c, size_t past, const Operand& fresh) {
  if (!c.has(past)) return fresh.tokens;
  const Shape& shape = c.shape(past);
  if (!shape.ranked()) return {};
  if (shape.rank() != 4) c.fail(fmt::format("input {} has rank {}; 4 is needed", past, shape.rank()));
  expect_equal(c, shape[0], fresh.batch, "batches of earlier and fresh tokens");
  expect_equal(c, shape[1], fresh.heads, "heads of earlier and fresh tokens");
  expect_equal(c, shape[3], fresh.width, "widths of earlier and fresh tokens");
  if (!shape[2].is_fixed() || !fresh.tokens.is_fixed()) return {};
  return Dim(shape[2].extent() + fresh.tokens.extent());
}

void check_mask(const InferContext& c, const std::array<Dim, 4>& scores) {
  if (!c.has(kMask) || !c.shape(kMask).ranked()) return;
  const Shape& mask = c.shape(kMask);
  if (mask.rank() > 4) c.fail(fmt::format("its mask has rank {}; 4 at most is needed", mask.rank()));
  for (size_t i = 0; i < mask.rank(); ++i) {
    const Dim& own = mask[mask.rank() - 1 - i];
    const Dim& whole = scores[3 - i];
    if (!own.is_fixed() || !whole.is_fixed() || own.extent() == 1 || own == whole) continue;
    if (i == 0 && own.extent() < whole.extent()) continue;  // what is missing is not seen
    c.fail(fmt::format("its mask {} does not broadcast to the scores", mask.to_string()));
  }
}

void check_types(const InferContext& c) {
  for (const size_t port : {kQuery, kKey, kValue, kPastKey, kPastValue}) expect_type(c, port, is_float_type);
  const DType mask = c.has(kMask) ? c.dtype(kMask) : DType::kUndefined;
  if (mask != DType::kUndefined && mask != DType::kBool && !is_float_type(mask)) c.fail("its mask is no bool or float");
  if (c.has(kKeyCounts) && c.dtype(kKeyCounts) != DType::kUndefined && c.dtype(kKeyCounts) != DType::kInt64) {
    c.fail("its key counts are no int64");
  }
  if (c.has(kPastKey) != c.has(kPastValue)) c.fail("earlier keys and values come together or not at all");
  if (c.has(kKeyCounts) && c.has(kPastKey)) c.fail("key counts do not go with earlier keys");
  const int64_t mode = attr_int(c.node(), "qk_matmul_output_mode");
  if (mode < 0 || mode > 3) c.fail(fmt::format("attribute 'qk_matmul_output_mode' is {}; 0 to 3 are known", mode));
  if (attr_float(c.node(), "softcap") < 0) c.fail("attribute 'softcap' is negative");
}

void infer(InferContext& c) {
  check_types(c);
  const Operand q = operand_of(c, kQuery), k = operand_of(c, kKey), v = operand_of(c, kValue);
  for (const Operand& other : {k, v}) expect_equal(c, q.batch, other.batch, "batches");
  expect_equal(c, q.width, k.width, "widths of queries and keys");
  expect_equal(c, k.heads, v.heads, "heads of keys and values");
  expect_equal(c, k.tokens, v.tokens, "tokens of keys and values");
  if (q.heads.is_fixed() && k.heads.is_fixed() && (k.heads.extent() == 0 || q.heads.extent() % k.heads.extent() != 0)) {
    c.fail(fmt::format("{} heads of keys do not divide {} heads of queries", k.heads.extent(), q.heads.extent()));
  }
  const Dim keys = all_tokens(c, kPastKey, k), values = all_tokens(c, kPastValue, v);
  expect_equal(c, keys, values, "earlier tokens of keys and values");
  check_mask(c, {q.batch, q.heads, q.tokens, keys});
  if (c.has(kKeyCounts) && c.shape(kKeyCounts).ranked()) {
    if (c.shape(kKeyCounts).rank() != 1) c.fail("its key counts are no vector");
    expect_equal(c, c.shape(kKeyCounts)[0], q.batch, "batch and key counts");
  }
  const Shape& query = c.shape(kQuery);
  Shape y;
  if (query.ranked() && query.rank() == 4) y = Shape({q.batch, q.heads, q.tokens, v.width});
  if (query.ranked() && query.rank() == 3) {
    const bool known = q.heads.is_fixed() && v.width.is_fixed();
    y = Shape({q.batch, q.tokens, known ? Dim(q.heads.extent() * v.width.extent()) : Dim()});
  }
  c.set_output(0, c.dtype(kQuery), std::move(y));
  c.set_output(1, c.dtype(kKey), Shape({k.batch, k.heads, keys, k.width}));
  c.set_output(2, c.dtype(kValue), Shape({v.batch, v.heads, values, v.width}));
  c.set_output(3, c.dtype(kQuery), Shape({q.batch, q.heads, q.tokens, keys}));
}

// Extents of a concrete operand: tokens and width, and where its elements lie.
struct Layout4 {
  int64_t heads, tokens, width;
  HeadStrides strides;
};
Layout4 layout_of(const Node& node, const Dims& dims, bool query) {
  if (dims.size() == 4) return {dims[1], dims[2], dims[3], heads_first(dims[1], dims[2], dims[3])};
  const int64_t heads = attr_int(node, query ? "q_num_heads" : "kv_num_heads");
  return {heads, dims[1], dims[2] / heads, tokens_first(heads, dims[1], dims[2] / heads)};
}

AttentionProblem make_problem(const Node& node, const std::vector<TensorView>& inputs,
                              const std::vector<MutableView>& outputs) {
  const auto input = [&](size_t port) { return port < inputs.size() ? inputs[port] : TensorView(); };
  const auto output = [&](size_t port) { return port < outputs.size() ? outputs[port] : MutableView(); };
  const Layout4 q = layout_of(node, input(kQuery).dims, true);
  AttentionProblem p{.batch = input(kQuery).dims[0], .heads = q.heads, .queries = q.tokens};
  const auto source = [&](size_t fresh, size_t past, size_t present) {
    const Layout4 layout = layout_of(node, input(fresh).dims, false);
    KeyValues result{.fresh = input(fresh),
                     .past = input(past),
                     .fresh_strides = layout.strides,
                     .width = layout.width,
                     .fresh_tokens = layout.tokens,
                     .present = output(present)};
    p.kv_heads = layout.heads;
    if (result.past) result.past_strides = heads_first(layout.heads, result.past.dims[2], layout.width);
    return result;
  };
  p.key = source(kKey, kPastKey, 1);
  p.value = source(kValue, kPastValue, 2);
  const int64_t past = p.key.past ? p.key.past.dims[2] : 0;
  const auto batch = static_cast<size_t>(p.batch);
  p.keys = past + p.key.fresh_tokens;
  p.past_lengths.assign(batch, past);
  p.places.assign(batch, past);
  p.key_counts.assign(batch, p.keys);
  if (input(kKeyCounts) && input(kKeyCounts).data != nullptr) {
    p.key_counts.assign(input(kKeyCounts).as<int64_t>(), input(kKeyCounts).as<int64_t>() + p.batch);
    for (size_t b = 0; b < batch; ++b) p.places[b] = std::clamp(p.key_counts[b], int64_t{0}, p.keys) - p.queries;
  }
  if (input(kMask)) p.biases.push_back(broadcast_bias(input(kMask)));
  p.width = q.width;
  p.scale = node.attrs.get<double>("scale", 1 / std::sqrt(static_cast<double>(std::max<int64_t>(q.width, 1))));
  p.softcap = attr_float(node, "softcap");
  p.causal = attr_int(node, "is_causal") != 0;
  p.left = attr_int(node, "left_window_size");
  p.right = attr_int(node, "right_window_size");
  p.query = input(kQuery);
  p.query_strides = q.strides;
  p.output = output(0);
  p.output_strides = input(kQuery).dims.size() == 4 ? heads_first(q.heads, q.tokens, p.value.width)
                                                    : tokens_first(q.heads, q.tokens, p.value.width);
  p.scores = output(3);
  p.stage = static_cast<ScoreStage>(attr_int(node, "qk_matmul_output_mode"));
  return p;
}

void run(RunContext& c) { run_attention(c, make_problem); }

std::unique_ptr<Step> lower(const LowerContext& c) { return lower_attention(c, make_problem, c.has(kKeyCounts)); }

Cost cost(const CostContext& c) {
  const Dims& q = c.input(kQuery);
  const Dims& v = c.input(kValue);
  const int64_t keys = (c.has(kPastKey) ? c.input(kPastKey)[2] : 0) + v[v.size() - 2];
  return {(element_count(q) + element_count(c.output(0))) * keys};
}

void export_attention(ExportContext& c) {
  if (c.version() < kKeyCountsOpset && c.node().input(kKeyCounts).valid()) {
    c.unsupported(fmt::format("key counts need opset {}", kKeyCountsOpset));
  }
  Attrs attrs = c.node().attrs;
  for (const char* window : {"left_window_size", "right_window_size"}) {
    if (c.version() >= kWindowOpset) break;
    if (attr_int(c.node(), window) >= 0) c.unsupported(fmt::format("a window needs opset {}", kWindowOpset));
    attrs.erase(window);
  }
  c.emit(input_names(c), std::move(attrs));
}

std::vector<Sample> plain_samples() {
  const auto qkv = [](Dims q, Dims k, Dims v) {
    return std::vector<SampleInput>{random_input(std::move(q)), random_input(std::move(k)), random_input(std::move(v))};
  };
  const auto with = [](std::vector<SampleInput> inputs, std::vector<SampleInput> more) {
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const Attrs three{{"q_num_heads", int64_t{3}}, {"kv_num_heads", int64_t{3}}};
  const Attrs grouped{{"q_num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}, {"is_causal", int64_t{1}}};
  return {
      {.name = "four_axes", .inputs = qkv({2, 3, 5, 8}, {2, 3, 7, 8}, {2, 3, 7, 6})},
      {.name = "three_axes", .inputs = qkv({2, 5, 12}, {2, 7, 12}, {2, 7, 9}), .attrs = three},
      {.name = "grouped_causal", .inputs = qkv({2, 5, 16}, {2, 5, 8}, {2, 5, 6}), .attrs = grouped},
      {.name = "bool_mask",
       .inputs = with(qkv({2, 4, 5, 8}, {2, 2, 7, 8}, {2, 2, 7, 8}), {random_input({5, 7}, 0, 1, DType::kBool)})},
      {.name = "float_mask_capped",
       .inputs = with(qkv({2, 3, 5, 8}, {2, 3, 7, 8}, {2, 3, 7, 8}), {random_input({2, 1, 5, 7})}),
       .attrs = {{"softcap", 2.0}, {"scale", 0.5}}},
      {.name = "past_causal",
       .inputs = with(qkv({1, 2, 3, 8}, {1, 2, 3, 8}, {1, 2, 3, 6}),
                      {absent_input(), random_input({1, 2, 4, 8}), random_input({1, 2, 4, 6})}),
       .attrs = {{"is_causal", int64_t{1}}},
       .outputs = 3},
      {.name = "many_rows", .inputs = qkv({1, 2, 150, 8}, {1, 2, 33, 8}, {1, 2, 33, 8})},
  };
}

std::vector<Sample> samples() {
  std::vector<Sample> samples = plain_samples();
  for (const int64_t mode : {0, 1, 2, 3}) {
    Sample sample = samples[4];
    sample.name = fmt::format("scores_{}", mode);
    sample.attrs.set("qk_matmul_output_mode", mode);
    sample.inputs.resize(6, absent_input());
    sample.inputs[4] = random_input({2, 3, 2, 8});
    sample.inputs[5] = random_input({2, 3, 2, 8});
    sample.inputs[3] = random_input({1, 3, 5, 9});
    sample.outputs = 4;
    samples.push_back(std::move(sample));
  }
  const std::string later = "it needs a later opset than the newest that is written";
  samples.push_back({.name = "key_counts",
                     .inputs = {random_input({2, 2, 3, 8}), random_input({2, 2, 7, 8}), random_input({2, 2, 7, 8}),
                                absent_input(), absent_input(), absent_input(), fixed_ints({4, 7})},
                     .attrs = {{"is_causal", int64_t{1}}},
                     .skip_onnx_runtime = true,
                     .reason = later});
  samples.push_back({.name = "window",
                     .inputs = {random_input({1, 2, 6, 8}), random_input({1, 2, 6, 8}), random_input({1, 2, 6, 8})},
                     .attrs = {{"left_window_size", int64_t{2}}, {"right_window_size", int64_t{1}}},
                     .skip_onnx_runtime = true,
                     .reason = later});
  return samples;
}

}  // namespace

void add_attention_op(OpTable& table) {
  table.add({.name = "attention",
             .doc = "Scaled dot-product attention with masks, earlier keys and values, and grouped queries.",
             .inputs = {{"q"},
                        {"k"},
                        {"v"},
                        {"attn_mask", Role::kActivation, true},
                        {"past_key", Role::kActivation, true},
                        {"past_value", Role::kActivation, true},
                        {"nonpad_kv_seqlen", Role::kParameter, true}},
             .outputs = {{"y"}, {"present_key", true}, {"present_value", true}, {"qk_matmul_output", true}},
             .attrs = {int_attr("is_causal", 0), int_attr("q_num_heads", 0), int_attr("kv_num_heads", 0),
                       optional_attr("scale", AttrType::kFloat), float_attr("softcap", 0),
                       int_attr("softmax_precision", 0), int_attr("qk_matmul_output_mode", 0),
                       int_attr("left_window_size", -1), int_attr("right_window_size", -1)},
             .infer = infer,
             .run = run,
             .lower = lower,
             .quant = QuantRule::keep_float("both operands of its products are computed"),
             .axes = axes_none,
             .cost = cost,
             .spellings = {onnx("Attention", 23, kAllVersions, nullptr, export_attention)},
             .samples = samples});
}

}  // namespace amct
