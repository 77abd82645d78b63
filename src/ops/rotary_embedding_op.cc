// RotaryEmbedding (Su et al. 2021): turns pairs of a head's first elements by an angle that grows with the position.
//
//   y1 = cos x1 - sin x2,  y2 = sin x1 + cos x2
//
// Pairs are (i, i + half) or, interleaved, (2 i, 2 i + 1). x is (batch, heads, tokens, width) or (batch, tokens, heads
// * width). Angles are rows of two tables: at position_ids, (batch, tokens) or one number for the first token; or,
// without them, the tables have a row per batch entry and token.
#include <fmt/core.h>

#include <algorithm>

#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

enum Port : size_t { kX, kCos, kSin, kPositions };

struct Heads {
  int64_t batch, heads, tokens, width;
  bool heads_outside;  // (batch, heads, tokens, width)
  int64_t rotated;
};

// Null extents (-1) where the input does not say them.
Heads heads_of(const Node& node, const Dims& x) {
  Heads h{};
  h.heads_outside = x.size() == 4;
  h.batch = x[0];
  const int64_t count = attr_int(node, "num_heads");
  if (h.heads_outside) {
    h.heads = x[1], h.tokens = x[2], h.width = x[3];
  } else {
    h.heads = count, h.tokens = x[1], h.width = count > 0 ? x[2] / count : 0;
  }
  h.rotated = attr_int(node, "rotary_embedding_dim") > 0 ? attr_int(node, "rotary_embedding_dim") : h.width;
  return h;
}

void check_tables(const InferContext& c, const Heads& h) {
  for (const size_t port : {kCos, kSin}) {
    const auto table = c.shape(port).fixed();
    if (!table) continue;
    const bool by_position = c.has(kPositions);
    const bool fits =
        by_position ? table->size() == 2 : table->size() == 3 && (*table)[0] == h.batch && (*table)[1] == h.tokens;
    if (!fits || table->back() < h.rotated / 2) {
      c.fail(fmt::format("input {} has shape {}, which has no {} angles for every token", port, to_string(*table),
                         h.rotated / 2));
    }
  }
  const auto cosines = c.shape(kCos).fixed(), sines = c.shape(kSin).fixed();
  if (cosines && sines && *cosines != *sines) {
    c.fail(fmt::format("its tables have shapes {} and {}", to_string(*cosines), to_string(*sines)));
  }
  const auto positions = c.has(kPositions) ? c.shape(kPositions).fixed() : std::nullopt;
  const bool each = positions && *positions == Dims{h.batch, h.tokens};
  if (positions && !each && element_count(*positions) != 1) {
    c.fail(fmt::format("its positions have shape {}; {} or a single one is needed", to_string(*positions),
                       to_string(Dims{h.batch, h.tokens})));
  }
}

void infer(InferContext& c) {
  for (const size_t port : {kX, kCos, kSin}) {
    expect_type(c, port, is_float_type);
    expect_same_type(c, port, kX);
  }
  if (c.has(kPositions) && c.dtype(kPositions) != DType::kUndefined && !is_integer(c.dtype(kPositions))) {
    c.fail("its positions are no integers");
  }
  const Shape& x = c.shape(kX);
  if (x.ranked() && x.rank() != 3 && x.rank() != 4)
    c.fail(fmt::format("its input has rank {}; 3 or 4 is needed", x.rank()));
  if (const auto dims = x.fixed()) {
    const Heads h = heads_of(c.node(), *dims);
    if (h.heads < 1 && dims->size() == 3) c.fail("a three-axis input needs the attribute 'num_heads'");
    if (dims->size() == 3 && dims->back() % h.heads != 0) {
      c.fail(fmt::format("{} heads do not divide {} channels", h.heads, dims->back()));
    }
    if (h.rotated % 2 != 0 || h.rotated > h.width) {
      c.fail(fmt::format("{} of {} elements of a head cannot be turned in pairs", h.rotated, h.width));
    }
    check_tables(c, h);
  }
  infer_same_as_first(c);
}

// The row of the tables for a token.
int64_t table_row(const RunContext& c, const Heads& h, const Ints& positions, int64_t b, int64_t token) {
  if (positions.empty()) return b * h.tokens + token;
  const bool each =
      static_cast<int64_t>(positions.size()) == h.batch * h.tokens && c.input(kPositions).dims.size() == 2;
  const int64_t row = each ? positions[static_cast<size_t>(b * h.tokens + token)] : positions[0] + token;
  if (row >= 0 && row < c.input(kCos).dims[0]) return row;
  throw Error(ErrorCode::kInput, fmt::format("position {} is outside tables of {} rows", row, c.input(kCos).dims[0]),
              {.node = c.node().name, .op = c.node().op});
}

template <typename T>
void rotate(const RunContext& c) {
  using C = Compute<T>;
  const Heads h = heads_of(c.node(), c.input(kX).dims);
  const Ints positions = ints_of(c.has(kPositions) ? c.input(kPositions) : TensorView());
  const bool interleaved = attr_int(c.node(), "interleaved") != 0;
  const int64_t half = h.rotated / 2, columns = c.input(kCos).dims.back();
  const int64_t first = interleaved ? 2 : 1, second = interleaved ? 1 : half;
  for (int64_t b = 0; b < h.batch; ++b) {
    for (int64_t token = 0; token < h.tokens; ++token) {
      const int64_t row = table_row(c, h, positions, b, token);
      const T* cosines = c.input(kCos).as<T>() + row * columns;
      const T* sines = c.input(kSin).as<T>() + row * columns;
      for (int64_t head = 0; head < h.heads; ++head) {
        const int64_t at = h.heads_outside ? ((b * h.heads + head) * h.tokens + token) * h.width
                                           : ((b * h.tokens + token) * h.heads + head) * h.width;
        const T* x = c.input(kX).as<T>() + at;
        T* y = c.output(0).as<T>() + at;
        for (int64_t i = 0; i < half; ++i) {
          const C cosine = static_cast<C>(cosines[i]), sine = static_cast<C>(sines[i]);
          const C a = static_cast<C>(x[i * first]), d = static_cast<C>(x[i * first + second]);
          y[i * first] = static_cast<T>(cosine * a - sine * d);
          y[i * first + second] = static_cast<T>(sine * a + cosine * d);
        }
        std::copy(x + h.rotated, x + h.width, y + h.rotated);
      }
    }
  }
}

void run(RunContext& c) {
  visit_floats(c.input(kX).dtype, [&]<typename T>(Tag<T>) { rotate<T>(c); });
}

// com.microsoft lists the positions second, and always has them.
void import_microsoft(ImportContext& c) {
  Attrs attrs = c.attrs();
  if (attrs.get<int64_t>("is_packed_batching", 0) != 0) c.unsupported("packed batches are not known");
  if (attrs.get<double>("scale", 1.0) != 1.0) c.unsupported("a scale is not known");
  for (const char* name : {"is_packed_batching", "scale"}) attrs.erase(name);
  for (const auto& [name, value] : attrs.items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  if (attrs.get<int64_t>("num_heads", 0) == 0) {
    const Shape& x = c.type(0).shape;
    const Tensor* table = c.graph().constant(c.input(2));
    const bool known = x.ranked() && x.rank() == 3 && x[2].is_fixed() && table != nullptr && table->rank() == 2;
    if (known && table->dims()[1] > 0) attrs.set("num_heads", x[2].extent() / (2 * table->dims()[1]));
  }
  c.add({c.input(0), c.input(2), c.input(3), c.input(1)}, std::move(attrs));
}

void export_standard(ExportContext& c) {
  const ValueId positions = c.node().input(kPositions);
  const Shape& shape = positions.valid() ? c.graph().value(positions).type.shape : Shape();
  if (shape.ranked() && shape.rank() < 2) c.unsupported("one position for all tokens is com.microsoft's form");
  export_default(c);
}

void export_microsoft(ExportContext& c) {
  if (!c.node().input(kPositions).valid()) c.unsupported("com.microsoft's form needs positions");
  const std::vector<std::string> names = input_names(c);
  Attrs attrs = c.node().attrs;
  const Shape& x = c.graph().value(c.node().input(kX)).type.shape;
  if (attr_int(c.node(), "rotary_embedding_dim") > 0 && attr_int(c.node(), "num_heads") == 0) {
    if (!x.ranked() || x.rank() != 4 || !x[1].is_fixed()) c.unsupported("com.microsoft's form needs a number of heads");
    attrs.set("num_heads", x[1].extent());
  }
  c.emit({names[kX], names[kPositions], names[kCos], names[kSin]}, std::move(attrs));
}

std::vector<Sample> samples() {
  const SampleInput positions = fixed(Tensor::of<int64_t>({2, 5}, {0, 1, 2, 3, 4, 6, 5, 0, 10, 2}));
  return {
      {.name = "four_axes",
       .inputs = {random_input({2, 3, 5, 8}), random_input({11, 4}), random_input({11, 4}), positions}},
      {.name = "three_axes_interleaved",
       .inputs = {random_input({2, 5, 24}), random_input({11, 4}), random_input({11, 4}), positions},
       .attrs = {{"num_heads", int64_t{3}}, {"interleaved", int64_t{1}}}},
      {.name = "no_positions",
       .inputs = {random_input({2, 3, 5, 6}), random_input({2, 5, 3}), random_input({2, 5, 3})}},
      {.name = "partial",
       .inputs = {random_input({2, 3, 5, 10}), random_input({11, 2}), random_input({11, 2}), positions},
       .attrs = {{"rotary_embedding_dim", int64_t{4}}}},
  };
}

}  // namespace

void add_rotary_embedding_op(OpTable& table) {
  table.add({.name = "rotary_embedding",
             .doc = "Turns pairs of elements by angles that grow with the position.",
             .inputs = {{"x"},
                        {"cos_cache", Role::kParameter},
                        {"sin_cache", Role::kParameter},
                        {"position_ids", Role::kParameter, true}},
             .outputs = {{"y"}},
             .attrs = {int_attr("interleaved", 0), int_attr("num_heads", 0), int_attr("rotary_embedding_dim", 0)},
             .infer = infer,
             .run = run,
             .quant = QuantRule::keep_float("it turns pairs of elements"),
             .axes = axes_none,
             .spellings = {onnx("RotaryEmbedding", 23, kAllVersions, nullptr, export_standard),
                           {.domain = "com.microsoft",
                            .type = "RotaryEmbedding",
                            .import = import_microsoft,
                            .export_ = export_microsoft}},
             .samples = samples});
}

}  // namespace amct
