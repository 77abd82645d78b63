// Scaled dot-product attention, shared by the operators that spell it differently.
//
//   y = softmax(cap(scale q k') + bias) v,  cap(x) = softcap tanh(x / softcap),  row by row
//
// Keys that a query may not see have bias -inf; a query that sees none gives zeros. Heads of queries share heads of
// keys in runs (grouped queries). One unit of work is one head of keys in one batch entry: its keys and values, earlier
// tokens first, are gathered next to each other and all its queries go through two matrix products, blocks of rows at a
// time, so that scores never leave the cache. Where few queries share a head of keys, as for a new token, keys and
// values are read where they are written for the next run.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "ops/lower.h"
#include "ops/run.h"

namespace amct {

// Element (b, h, s, d) lies at b * batch + h * head + s * token + d.
struct HeadStrides {
  int64_t batch = 0, head = 0, token = 0;
};
HeadStrides heads_first(int64_t heads, int64_t tokens, int64_t width);   // (B, H, S, D)
HeadStrides tokens_first(int64_t heads, int64_t tokens, int64_t width);  // (B, S, H D)

// Keys or values: fresh tokens behind earlier ones. Views of absent tensors are empty.
struct KeyValues {
  TensorView fresh, past;
  HeadStrides fresh_strides, past_strides;
  int64_t width = 0;
  int64_t fresh_tokens = 0;
  MutableView present;  // if wanted: earlier and fresh tokens, then zeros, (B, kv heads, tokens, width)
};

// Added to the scores. Truth values and integers say who is seen: false and 0 add `masked`.
struct ScoreBias {
  TensorView values;
  std::array<int64_t, 4> strides{};  // of batch, head, query, key; 0 = the same for all
  int64_t keys = 0;                  // keys from here on are not seen
  double masked = -std::numeric_limits<double>::infinity();
};
// Strides of a tensor that broadcasts to (batch, heads, queries, keys), its last axis at most as long.
ScoreBias broadcast_bias(const TensorView& values);

// Rotary embeddings of queries and fresh keys (rotary_embedding_op.cc has the formula): a token at place p among the
// keys takes row p of the tables, which must have it.
struct Rotation {
  TensorView cosines, sines;  // (rows, at least width / 2); absent = no rotation
  int64_t width = 0;          // of the elements that are turned
  bool interleaved = false;
};

enum class ScoreStage { kProduct, kCapped, kBiased, kSoftmax };

struct AttentionProblem {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0;  // keys: earlier and fresh ones
  double scale = 1, softcap = 0;
  bool causal = false;
  int64_t left = -1, right = -1;      // how far a query sees to either side of its own place; -1 = any distance
  std::vector<int64_t> past_lengths;  // earlier tokens of each batch entry
  std::vector<int64_t> places;        // of the first query of each batch entry among the keys
  std::vector<int64_t> key_counts;    // keys that exist in each batch entry
  std::vector<ScoreBias> biases;
  TensorView sinks;             // one more score per head that only adds to the softmax's sum; absent = none
  bool smooth_softmax = false;  // the same with a score of 0
  Rotation rotation;
  TensorView query;
  HeadStrides query_strides;
  int64_t width = 0;  // of queries and keys
  KeyValues key, value;
  MutableView output;
  HeadStrides output_strides;
  MutableView scores;  // if wanted: (B, H, queries, keys) at `stage`
  ScoreStage stage = ScoreStage::kProduct;

  int64_t group() const { return heads / kv_heads; }
};

// Computes in double precision, for floating tensors of one type.
void run_attention(const AttentionProblem& problem, int threads);

// Makes the problem for addresses; where lengths are data, it reads them from inputs.
using MakeAttention = AttentionProblem (*)(const Node&, const std::vector<TensorView>&,
                                           const std::vector<MutableView>&);

// The plain kernel of a row: makes the problem for the context's memory and runs it.
void run_attention(const RunContext& c, MakeAttention make);

// The compiled form for float32: products by oneDNN, or by our own kernel where they are too small for its calls to pay
// (few_rows.h), softmax by our own; the problem is made anew at every run if `per_run`. Null for other types, and where
// the library has no fast product of those that are left to it.
std::unique_ptr<Step> lower_attention(const LowerContext& c, MakeAttention make, bool per_run);

}  // namespace amct
