#include "ir/text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "ir/random_tensor.h"
#include "ir/text_lexer.h"
#include "ir/verify.h"

namespace amct {
namespace {

const char kRowStandIn = 0;

// The graph carries row pointers and never looks into them: any address does for operators in these tests.
const OpRow* row_for(std::string_view op) {
  return op.find("::") == std::string_view::npos ? reinterpret_cast<const OpRow*>(&kRowStandIn) : nullptr;
}

std::string again(const std::string& text) { return to_text(parse_text(text, row_for), TextOptions::full()); }

void expect_parse_error(const std::string& text, const std::string& message) {
  try {
    parse_text(text, row_for);
    FAIL() << "accepted: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInput);
    EXPECT_EQ(std::string(error.what()), message);
  }
}

class RandomGraph {
 public:
  explicit RandomGraph(uint64_t seed) : random_(seed) {}

  Graph make(int depth = 0) {
    Graph graph;
    graph.info.format = "onnx";
    graph.info.opsets = {{"", pick(30)}, {"a \"b\"\n", pick(5)}};
    graph.info.ir_version = pick(12);
    graph.info.metadata = {{"key", name()}};
    graph.info.opaque_sections = {std::string("\0\xff\\ section", 11)};
    std::vector<ValueId> values;
    for (int i = 0; i < 3; ++i) values.push_back(graph.add_input(name(), type()));
    for (int i = 0; i < 12; ++i) values.push_back(add_constant(graph));
    for (int i = 0; i < 20; ++i) add_node(graph, values, depth);
    graph.set_outputs({values.back(), values[0], values[5]});
    return graph;
  }

 private:
  int64_t pick(int64_t below) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(below)); }

  std::string name() {
    static const std::vector<std::string> kNames = {
        "x",   "conv1/weight:0", "a b",   "日本",     "_",      "42", "-1",   "\"q\"",
        "e\n", "input",          "graph", "\x01\xff", "output", "%v", "true", "nan"};
    return kNames[static_cast<size_t>(pick(static_cast<int64_t>(kNames.size())))] +
           (pick(2) == 0 ? "" : std::to_string(pick(99)));
  }

  TensorType type() {
    static const std::vector<Dim> kDims = {Dim(3),           Dim(0),         Dim(), Dim::named("N"), Dim::named("a b"),
                                           Dim::named("4x"), Dim::named("?")};
    TensorType type;
    type.dtype = static_cast<DType>(pick(static_cast<int64_t>(DType::kString) + 1));
    if (pick(4) == 0) return type;
    std::vector<Dim> dims;
    for (int64_t i = pick(5); i > 0; --i) dims.push_back(kDims[static_cast<size_t>(pick(7))]);
    type.shape = Shape(std::move(dims));
    return type;
  }

  Tensor tensor() {
    const auto dtype = static_cast<DType>(1 + pick(static_cast<int64_t>(DType::kComplex128)));
    Dims dims;
    for (int64_t i = pick(4); i > 0; --i) dims.push_back(pick(4));
    if (has_number_form(dtype)) return random_tensor(dtype, dims, random_());
    Tensor tensor = Tensor::allocate(dtype, dims);
    for (size_t i = 0; i < tensor.bytes().size(); ++i) tensor.mutable_data()[i] = static_cast<std::byte>(pick(256));
    return tensor;
  }

  ValueId add_constant(Graph& graph) {
    return pick(3) == 0 ? graph.add_variable(name(), tensor()) : graph.add_constant(name(), tensor());
  }

  AttrValue attr(int depth) {
    switch (pick(depth < 2 ? 9 : 7)) {
      case 0: return int64_t{-5};
      case 1: return pick(2) == 0 ? 1.0 : 0.1f;
      case 2: return name();
      case 3: return std::vector<int64_t>(static_cast<size_t>(pick(3)), std::numeric_limits<int64_t>::min());
      case 4: return std::vector<double>(static_cast<size_t>(pick(3)), -0.0);
      case 5: return std::vector<std::string>(static_cast<size_t>(pick(3)), name());
      case 6:
        return pick(2) == 0 ? std::numeric_limits<double>::infinity() : std::bit_cast<double>(0x7ff8000000000123u);
      case 7: return tensor();
      default: return std::make_shared<const Graph>(make(depth + 1));
    }
  }

  void add_node(Graph& graph, std::vector<ValueId>& values, int depth) {
    std::vector<ValueId> inputs;
    for (int64_t i = pick(4); i > 0; --i) {
      inputs.push_back(pick(5) == 0 ? kNoValue
                                    : values[static_cast<size_t>(pick(static_cast<int64_t>(values.size())))]);
    }
    std::vector<std::string> outputs{name()};
    for (int64_t i = pick(3); i > 0; --i) outputs.push_back(pick(3) == 0 ? "" : name());
    Attrs attrs;
    for (int64_t i = pick(3); i > 0; --i) attrs.set(name(), attr(depth));
    const std::string op = pick(4) == 0 ? "dom::Type" : "conv";
    const Origin origin = pick(2) == 0 ? Origin{} : Origin{name(), "Conv"};
    const NodeId id =
        graph.add_node(pick(2) == 0 ? outputs[0] : name(), op, row_for(op), inputs, outputs, attrs, origin);
    for (const ValueId output : graph.node(id).outputs) {
      if (!output.valid()) continue;
      graph.value(output).type = type();
      values.push_back(output);
    }
  }

  std::mt19937_64 random_;
};

TEST(Text, RandomGraphsRoundTrip) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Graph graph = RandomGraph(seed).make();
    ASSERT_TRUE(verify(graph).empty()) << "seed " << seed << ": " << verify(graph).front();
    const std::string text = to_text(graph, TextOptions::full());
    ASSERT_EQ(again(text), text) << "seed " << seed;
    const Graph parsed = parse_text(text, row_for);
    ASSERT_TRUE(verify(parsed).empty()) << "seed " << seed << ": " << verify(parsed).front();
    ASSERT_EQ(parsed.node_count(), graph.node_count()) << "seed " << seed;
    for (const ValueId id : graph.values()) {
      const ValueId other = parsed.find_value(graph.value(id).name);
      ASSERT_TRUE(other.valid()) << "seed " << seed;
      ASSERT_EQ(parsed.value(other).type, graph.value(id).type) << "seed " << seed;
      ASSERT_EQ(parsed.value(other).kind, graph.value(id).kind) << "seed " << seed;
      if (graph.value(id).data) {
        ASSERT_TRUE(parsed.value(other).data.same_bytes(graph.value(id).data)) << "seed " << seed;
      }
    }
  }
}

TEST(Text, PrintsWhatPeopleRead) {
  const std::string text =
      "opset \"\" 13\n"
      "%x: float32[1, 3, H, ?] = input\n"
      "%w: float32[2, 1] = constant [0.5, -1]\n"
      "%y: float32[1, 8] = conv(%x, _, %w) {group=1, pads=[0, 1], scale=2.0} @conv_1\n"
      "%\"a b\": int64, _, %c: ?[2] = split(%y)\n"
      "output %c\n";
  EXPECT_EQ(again(text), text);
}

TEST(Text, SpecialNumbersKeepTheirBits) {
  const std::vector<float> values = {
      -0.0f,  INFINITY, -INFINITY,  std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0xffc00001u),
      1e-45f, 0.1f,     16777217.0f};
  Graph graph;
  const ValueId id = graph.add_constant("c", Tensor::of<float>({8}, values));
  graph.set_outputs({id});
  const Graph parsed = parse_text(to_text(graph), row_for);
  EXPECT_TRUE(parsed.value(parsed.find_value("c")).data.same_bytes(graph.value(id).data));
}

TEST(Text, LargeConstantsPrintAsHash) {
  Graph graph;
  graph.set_outputs({graph.add_constant("c", random_tensor(DType::kFloat32, {5, 7}, 3))});
  const std::string text = to_text(graph);
  EXPECT_NE(text.find("%c: float32[5, 7] = constant hash(0x"), std::string::npos) << text;
  EXPECT_THROW(parse_text(text, row_for), Error);
  EXPECT_EQ(again(to_text(graph, TextOptions::full())), to_text(graph, TextOptions::full()));
}

TEST(Text, RandomIsTheSameNumbersEveryTime) {
  const Graph graph = parse_text("%c: float32[3] = constant random(7) # numbers\noutput %c", row_for);
  EXPECT_EQ(to_text(graph), to_text(parse_text("%c: float32[3] = constant random(7)\noutput %c", row_for)));
  EXPECT_NE(to_text(graph), to_text(parse_text("%c: float32[3] = constant random(8)\noutput %c", row_for)));
  for (const float value : graph.value(graph.find_value("c")).data.values<float>()) EXPECT_LE(std::abs(value), 1.0f);
}

TEST(Text, ErrorsHaveLineAndColumn) {
  expect_parse_error("%x = input\n%y = relu(%z)", "line 2, column 11: value 'z' is not defined above");
  expect_parse_error("%x = input\n%x = input", "line 2, column 1: value 'x' is defined twice");
  expect_parse_error("%x: float33 = input", "line 1, column 5: 'float33' is no element type");
  expect_parse_error("%x: float32[-1] = input", "line 1, column 13: a dimension is negative");
  expect_parse_error("%x = \"a::b\"(", "line 1, column 13: a value is expected");
  expect_parse_error("%c: float32[2] = constant [1]", "line 1, column 27: 2 elements are expected");
  expect_parse_error("%c: float32[2] = constant [1, 2, 3]", "line 1, column 34: more than 2 elements");
  expect_parse_error("%c: float32[N] = constant [1]",
                     "line 1, column 27: a constant needs an element type and fixed dimensions");
  expect_parse_error("opset \"\" x", "line 1, column 10: 'x' is no number");
  expect_parse_error("%c: string[1] = constant [1]",
                     "line 1, column 26: a constant needs an element type and fixed dimensions");
  expect_parse_error("%\"ab", "line 1, column 1: a string without an end");
  expect_parse_error("%c: int8[1] = constant [300]", "line 1, column 25: '300' is no number");
  expect_parse_error("%x = input }", "line 1, column 12: a statement is expected");
  expect_parse_error("%c: float32[99999999999, 99999999999] = constant random(1)",
                     "line 1, column 50: a constant needs an element type and fixed dimensions");
}

TEST(Text, UnknownOperatorIsAnError) {
  const auto none = [](std::string_view) -> const OpRow* { return nullptr; };
  try {
    parse_text("%x = input\n%y = rleu(%x)", none);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "line 2, column 6: there is no operator 'rleu'");
  }
}

TEST(Text, CutOffTextIsAnErrorOrAShorterGraph) {
  const std::string text = to_text(RandomGraph(11).make(), TextOptions::full());
  for (size_t length = 0; length < text.size(); length += 61) {
    try {
      parse_text(text.substr(0, length), row_for);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kInput) << error.what();
    }
  }
}

}  // namespace
}  // namespace amct
