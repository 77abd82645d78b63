// TfIdfVectorizer: counts n-grams of integers, (C) or (N, C), against a pool of known ones.
//
// Attribute pool_int64s holds all 1-grams, then all 2-grams, …; ngram_counts says where each length starts, and gram g
// of the pool is counted at output ngram_indexes[g]. With skips up to max_skip_count, the items of a gram may lie
// 1, 2, … max_skip_count + 1 places apart; single items count once. Mode TF gives counts f, IDF 1 (or the weight) where
// f > 0, TFIDF f (times the weight). Pools of strings are not read.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr int64_t kMaxOutputs = int64_t{1} << 31;

enum class Mode { kTf, kIdf, kTfIdf };

struct Vocabulary {
  Mode mode = Mode::kTf;
  int64_t shortest = 1, longest = 1, max_skip = 0, outputs = 0;
  std::map<Ints, size_t> grams;  // gram -> output
  std::vector<double> weights;   // per output; empty = 1
};

[[noreturn]] void refuse(const Node& node, std::string message) {
  throw Error(ErrorCode::kInput, std::move(message), {.node = node.name, .op = node.op});
}

void read_grams(const Node& node, Vocabulary& v) {
  const Ints pool = attr_ints(node, "pool_int64s");
  const Ints starts = attr_ints(node, "ngram_counts");
  const Ints outputs = attr_ints(node, "ngram_indexes");
  size_t gram = 0;
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t length = static_cast<int64_t>(i) + 1;
    const int64_t end = i + 1 < starts.size() ? starts[i + 1] : static_cast<int64_t>(pool.size());
    if (starts[i] < 0 || end < starts[i] || end > static_cast<int64_t>(pool.size()) ||
        (end - starts[i]) % length != 0) {
      refuse(node, fmt::format("ngram_counts {} do not fit a pool of {}", to_string(starts), pool.size()));
    }
    for (int64_t at = starts[i]; at < end; at += length, ++gram) {
      if (gram >= outputs.size()) refuse(node, "ngram_indexes has fewer entries than the pool has n-grams");
      if (length < v.shortest || length > v.longest) continue;
      v.grams.emplace(Ints(pool.begin() + at, pool.begin() + at + length), static_cast<size_t>(outputs[gram]));
    }
  }
}

Vocabulary vocabulary_of(const Node& node) {
  Vocabulary v;
  const std::string mode = attr_string(node, "mode");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF")
    refuse(node, fmt::format("mode '{}' is not TF, IDF or TFIDF", mode));
  v.mode = mode == "TF" ? Mode::kTf : mode == "IDF" ? Mode::kIdf : Mode::kTfIdf;
  v.shortest = attr_int(node, "min_gram_length");
  v.longest = attr_int(node, "max_gram_length");
  v.max_skip = attr_int(node, "max_skip_count");
  if (v.shortest < 1 || v.longest < v.shortest || v.longest > 1024 || v.max_skip < 0 || v.max_skip > kMaxOutputs) {
    refuse(node, fmt::format("n-grams of {} to {} items with {} skips", v.shortest, v.longest, v.max_skip));
  }
  for (const int64_t index : attr_ints(node, "ngram_indexes")) {
    if (index < 0 || index >= kMaxOutputs) refuse(node, fmt::format("ngram_indexes holds {}", index));
    v.outputs = std::max(v.outputs, index + 1);
  }
  if (v.outputs == 0) refuse(node, "ngram_indexes is empty");
  v.weights = attr_floats(node, "weights");
  if (!v.weights.empty() && v.weights.size() != attr_ints(node, "ngram_indexes").size()) {
    refuse(node, fmt::format("{} weights do not fit the n-grams of the pool", v.weights.size()));
  }
  read_grams(node, v);
  return v;
}

void infer(InferContext& c) {
  expect_type(c, 0, [](DType dtype) { return dtype == DType::kInt32 || dtype == DType::kInt64; });
  const Vocabulary v = vocabulary_of(c.node());
  const Shape& x = c.shape(0);
  if (!x.ranked()) return c.set_output(0, DType::kFloat32, Shape());
  if (x.rank() > 2) c.fail(fmt::format("shape {} is neither (items) nor (samples, items)", x.to_string()));
  std::vector<Dim> dims{v.outputs};
  if (x.rank() == 2) dims.insert(dims.begin(), x[0]);
  c.set_output(0, DType::kFloat32, Shape(std::move(dims)));
}

// Adds the n-grams of one sample to the counts per output.
void count_grams(const Vocabulary& v, std::span<const int64_t> items, std::vector<int64_t>& counts) {
  const auto size = static_cast<int64_t>(items.size());
  for (int64_t distance = 1; distance <= v.max_skip + 1; ++distance) {
    const int64_t shortest = distance > 1 ? std::max<int64_t>(v.shortest, 2) : v.shortest;
    if (shortest > v.longest || distance * (shortest - 1) >= size) break;
    for (int64_t first = 0; first + distance * (shortest - 1) < size; ++first) {
      Ints gram;
      for (int64_t at = first; at < size && static_cast<int64_t>(gram.size()) < v.longest; at += distance) {
        gram.push_back(items[static_cast<size_t>(at)]);
        if (static_cast<int64_t>(gram.size()) < shortest) continue;
        if (const auto hit = v.grams.find(gram); hit != v.grams.end()) ++counts[hit->second];
      }
    }
  }
}

void run(RunContext& c) {
  const Vocabulary v = vocabulary_of(c.node());
  const Ints items = ints_of(c.input(0));
  const Dims& dims = c.input(0).dims;
  const auto rows = static_cast<size_t>(dims.size() == 2 ? dims[0] : 1);
  const size_t width = rows == 0 ? 0 : items.size() / rows;
  const auto outputs = static_cast<size_t>(v.outputs);
  for (size_t row = 0; row < rows; ++row) {
    std::vector<int64_t> counts(outputs);
    count_grams(v, std::span(items).subspan(row * width, width), counts);
    for (size_t i = 0; i < outputs; ++i) {
      const double count = v.mode == Mode::kIdf ? (counts[i] > 0 ? 1 : 0) : static_cast<double>(counts[i]);
      const double weight = v.mode == Mode::kTf || i >= v.weights.size() ? 1 : v.weights[i];
      c.output(0).as<float>()[row * outputs + i] = static_cast<float>(count * weight);
    }
  }
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const size_t items = c.input(0).empty() ? 0 : c.input(0).size() - 1;
  if (items == 1) add_tie(relations, c.input(0)[0], {in_axis(0, 0), out_axis(0, 0)});
  if (!c.input(0).empty()) relations.push_back(lock(in_axis(0, items), "n-grams depend on neighbours"));
  relations.push_back(lock(out_axis(0, c.output(0).size() - 1), "it lists the n-grams of the pool"));
  return relations;
}

void import_tfidf(ImportContext& c) {
  if (c.attrs().has("pool_strings")) c.unsupported("strings are not computed with");
  import_default(c);
}

std::vector<Sample> samples() {
  const auto ints = [](std::vector<int64_t> values) { return values; };
  const auto attrs = [&](const char* mode, int64_t shortest, int64_t longest, int64_t skip) {
    return Attrs{{"mode", std::string(mode)},
                 {"min_gram_length", shortest},
                 {"max_gram_length", longest},
                 {"max_skip_count", skip},
                 {"ngram_counts", ints({0, 4})},
                 {"ngram_indexes", ints({0, 1, 2, 3, 4, 5, 6})},
                 {"pool_int64s", ints({2, 3, 5, 4, 5, 6, 7, 8, 6, 7})}};
  };
  const auto with_weights = [](Attrs attrs) {
    attrs.set("weights", std::vector<double>{0.5, 2, 1, 3, 0.25, 1.5, 4});
    return attrs;
  };
  const SampleInput row = fixed(Tensor::of<int64_t>({12}, {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8}));
  const SampleInput rows = fixed(Tensor::of<int32_t>({2, 6}, {1, 2, 3, 3, 5, 7, 8, 6, 7, 5, 6, 8}));
  return {{.name = "counts", .inputs = {row}, .attrs = attrs("TF", 1, 2, 0)},
          {.name = "skips", .inputs = {rows}, .attrs = attrs("TF", 2, 2, 5)},
          {.name = "both_lengths_and_skips", .inputs = {rows}, .attrs = attrs("TF", 1, 2, 5)},
          {.name = "weighted", .inputs = {row}, .attrs = with_weights(attrs("TFIDF", 1, 2, 1))},
          {.name = "seen", .inputs = {rows}, .attrs = with_weights(attrs("IDF", 1, 2, 0))}};
}

}  // namespace

void add_tfidf_vectorizer_op(OpTable& table) {
  table.add({.name = "tfidf_vectorizer",
             .doc = "Counts known n-grams of integers.",
             .inputs = {{"x"}},
             .outputs = {{"y"}},
             .attrs = {required_attr("max_gram_length", AttrType::kInt),
                       required_attr("max_skip_count", AttrType::kInt),
                       required_attr("min_gram_length", AttrType::kInt),
                       required_attr("mode", AttrType::kString),
                       required_attr("ngram_counts", AttrType::kInts),
                       required_attr("ngram_indexes", AttrType::kInts),
                       required_attr("pool_int64s", AttrType::kInts),
                       {.name = "weights", .type = AttrType::kFloats, .fallback = std::vector<double>()}},
             .infer = infer,
             .run = run,
             .quant = QuantRule::keep_float("it counts items, which are no quantities"),
             .axes = axes,
             .spellings = {onnx("TfIdfVectorizer", 9, kAllVersions, import_tfidf, nullptr)},
             .samples = samples});
}

}  // namespace amct
