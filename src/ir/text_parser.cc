#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "ir/dispatch.h"
#include "ir/random_tensor.h"
#include "ir/text.h"
#include "ir/text_lexer.h"

namespace amct {
namespace {

constexpr int64_t kMaxRandomElements = int64_t{1} << 26;

template <typename T>
T parse_number(const Token& token, int base = 10) {
  T value{};
  const char* begin = token.text.data();
  const char* end = begin + token.text.size();
  std::from_chars_result result{};
  if constexpr (std::is_floating_point_v<T>) {
    result = std::from_chars(begin, end, value);
  } else {
    result = std::from_chars(begin, end, value, base);
  }
  if (result.ec != std::errc() || result.ptr != end)
    Lexer::fail_at(token, fmt::format("'{}' is no number", token.text));
  return value;
}

uint64_t parse_hex(const Token& token) {
  Token digits = token;
  if (!digits.text.starts_with("0x")) Lexer::fail_at(token, "a number of the form 0x… is expected");
  digits.text.erase(0, 2);
  return parse_number<uint64_t>(digits, 16);
}

class Parser {
 public:
  Parser(std::string_view text, const FindRow& find_row) : lexer_(text), find_row_(find_row) {}

  Graph run() {
    Graph graph = this->graph();
    if (lexer_.peek().kind != Token::Kind::kEnd) lexer_.fail("a statement is expected");
    return graph;
  }

 private:
  static constexpr int kMaxDepth = 32;

  bool is(std::string_view punctuation) const {
    return lexer_.peek().kind == Token::Kind::kPunctuation && lexer_.peek().text == punctuation;
  }
  bool is_word(std::string_view word) const {
    return lexer_.peek().kind == Token::Kind::kWord && lexer_.peek().text == word;
  }
  bool accept(std::string_view punctuation) {
    if (!is(punctuation)) return false;
    lexer_.take();
    return true;
  }
  void expect(std::string_view punctuation) {
    if (!accept(punctuation)) lexer_.fail(fmt::format("'{}' is expected", punctuation));
  }
  Token expect(Token::Kind kind, std::string_view what) {
    if (lexer_.peek().kind != kind) lexer_.fail(fmt::format("{} is expected", what));
    return lexer_.take();
  }
  std::string string() { return expect(Token::Kind::kString, "a string").text; }
  Token word(std::string_view what) { return expect(Token::Kind::kWord, what); }
  std::string name(std::string_view what) {  // a word or a string
    return lexer_.peek().kind == Token::Kind::kString ? lexer_.take().text : word(what).text;
  }

  Graph graph() {
    Graph graph;
    std::vector<ValueId> outputs;
    while (true) {
      const Token& next = lexer_.peek();
      if (next.kind == Token::Kind::kWord && header(graph.info)) continue;
      if (is_word("output")) {
        lexer_.take();
        outputs.push_back(use(graph));
      } else if (next.kind == Token::Kind::kValue || next.kind == Token::Kind::kWord ||
                 next.kind == Token::Kind::kString) {
        statement(graph);
      } else {
        break;
      }
    }
    graph.set_outputs(std::move(outputs));
    return graph;
  }

  bool header(ModelInfo& info) {
    struct TextField {
      std::string_view key;
      std::string ModelInfo::*member;
    };
    static constexpr TextField kTexts[] = {{"format", &ModelInfo::format},
                                           {"producer_name", &ModelInfo::producer_name},
                                           {"producer_version", &ModelInfo::producer_version},
                                           {"domain", &ModelInfo::domain},
                                           {"doc", &ModelInfo::doc},
                                           {"graph_name", &ModelInfo::graph_name}};
    const std::string key = lexer_.peek().text;
    for (const TextField& field : kTexts) {
      if (key != field.key) continue;
      lexer_.take();
      info.*field.member = string();
      return true;
    }
    if (key != "opset" && key != "ir_version" && key != "model_version" && key != "metadata" && key != "section")
      return false;
    lexer_.take();
    if (key == "ir_version") info.ir_version = parse_number<int64_t>(word("a number"));
    if (key == "model_version") info.model_version = parse_number<int64_t>(word("a number"));
    if (key == "section") info.opaque_sections.push_back(string());
    if (key == "opset") {
      const std::string domain = string();
      info.opsets[domain] = parse_number<int64_t>(word("a number"));
    }
    if (key == "metadata") {
      const std::string entry = string();
      info.metadata[entry] = string();
    }
    return true;
  }

  ValueId use(Graph& graph) {
    const Token token = expect(Token::Kind::kValue, "a value");
    const ValueId id = graph.find_value(token.text);
    if (!id.valid()) Lexer::fail_at(token, fmt::format("value '{}' is not defined above", token.text));
    return id;
  }

  struct Result {
    Token token;
    TensorType type;
    bool absent = false;
  };

  void statement(Graph& graph) {
    std::vector<Result> results;
    if (lexer_.peek().kind == Token::Kind::kValue || is_word("_")) {
      do results.push_back(result(graph));
      while (accept(","));
      expect("=");
    }
    const Token at = lexer_.peek();
    const std::string op = name("an operator");
    if (is("(")) return node(graph, at, op, results);
    if (results.size() != 1 || results[0].absent) Lexer::fail_at(at, "one named value is expected before this");
    const auto& [token, type, absent] = results[0];
    if (op == "input") {
      graph.add_input(token.text, type);
    } else if (op == "constant") {
      graph.add_constant(token.text, elements(type));
    } else if (op == "variable") {
      graph.add_variable(token.text, elements(type));
    } else {
      Lexer::fail_at(at, "'input', 'constant', 'variable' or an operator with its inputs is expected");
    }
  }

  Result result(const Graph& graph) {
    if (is_word("_")) return {lexer_.take(), {}, true};
    Result result{expect(Token::Kind::kValue, "a value"), {}, false};
    if (graph.find_value(result.token.text).valid()) {
      Lexer::fail_at(result.token, fmt::format("value '{}' is defined twice", result.token.text));
    }
    if (accept(":")) result.type = type();
    return result;
  }

  TensorType type() {
    TensorType type;
    if (!accept("?")) {
      const Token token = word("an element type");
      const auto dtype = dtype_from_name(token.text);
      if (!dtype) Lexer::fail_at(token, fmt::format("'{}' is no element type", token.text));
      type.dtype = *dtype;
    }
    if (!accept("[")) return type;
    std::vector<Dim> dims;
    while (!accept("]")) {
      if (!dims.empty()) expect(",");
      dims.push_back(dim());
    }
    type.shape = Shape(std::move(dims));
    return type;
  }

  Dim dim() {
    if (accept("?")) return Dim();
    if (lexer_.peek().kind == Token::Kind::kString) return Dim::named(lexer_.take().text);
    const Token token = word("a dimension");
    const char first = token.text[0];
    if (first != '-' && (first < '0' || first > '9')) return Dim::named(token.text);
    const auto extent = parse_number<int64_t>(token);
    if (extent < 0) Lexer::fail_at(token, "a dimension is negative");
    return Dim(extent);
  }

  void node(Graph& graph, const Token& at, const std::string& op, const std::vector<Result>& results) {
    const OpRow* row = find_row_(op);
    if (row == nullptr && op.find("::") == std::string::npos)
      Lexer::fail_at(at, fmt::format("there is no operator '{}'", op));
    std::vector<ValueId> inputs;
    expect("(");
    while (!accept(")")) {
      if (!inputs.empty()) expect(",");
      if (is_word("_")) {
        lexer_.take();
        inputs.push_back(kNoValue);
      } else {
        inputs.push_back(use(graph));
      }
    }
    Attrs attrs;
    if (accept("{")) parse_attrs(attrs);
    std::vector<std::string> outputs;
    for (const Result& result : results) outputs.push_back(result.absent ? std::string() : result.token.text);
    if (!outputs.empty() && outputs[0].empty()) Lexer::fail_at(results[0].token, "the first output needs a name");
    std::string key = outputs.empty() ? std::string() : outputs[0];
    if (accept("@")) key = name("a layer key");
    if (key.empty()) Lexer::fail_at(at, "a node without outputs needs a layer key: @name");
    if (graph.find_node(key).valid()) Lexer::fail_at(at, fmt::format("there are two nodes '{}'", key));
    Origin origin;
    if (is_word("from")) {
      lexer_.take();
      origin.name = string();
      origin.op = string();
    }
    const NodeId id = graph.add_node(key, op, row, std::move(inputs), outputs, std::move(attrs), std::move(origin));
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].absent) graph.value(graph.node(id).outputs[i]).type = results[i].type;
    }
  }

  void parse_attrs(Attrs& attrs) {
    bool first = true;
    while (!accept("}")) {
      if (!first) expect(",");
      first = false;
      const std::string key = name("an attribute");
      expect("=");
      attrs.set(key, attr());
    }
  }

  static double parse_double(const Token& token) { return parse_number<double>(token); }

  AttrValue attr() {
    if (lexer_.peek().kind == Token::Kind::kString) return lexer_.take().text;
    if (is("[")) return list();
    const Token token = word("the attribute's value");
    if (token.text == "tensor") {
      const TensorType type = this->type();
      return elements(type);
    }
    if (token.text == "graph") return subgraph(token);
    if (token.text == "floats" || token.text == "strings") {
      expect("[");
      expect("]");
      return token.text == "floats" ? AttrValue(std::vector<double>()) : AttrValue(std::vector<std::string>());
    }
    return number(token);
  }

  // An integer unless it is written as a float.
  AttrValue number(const Token& token) {
    if (token.text == "nan" && accept("(")) {
      const uint64_t bits = parse_hex(lexer_.take());
      expect(")");
      return std::bit_cast<double>(bits);
    }
    if (token.text.find_first_of(".enai") == std::string::npos) return parse_number<int64_t>(token);
    return parse_double(token);
  }

  AttrValue list() {
    expect("[");
    std::vector<AttrValue> items;
    while (!accept("]")) {
      if (!items.empty()) expect(",");
      const Token at = lexer_.peek();
      if (at.kind == Token::Kind::kString) {
        items.emplace_back(lexer_.take().text);
      } else {
        items.push_back(number(word("a number or a string")));
      }
      if (items.back().index() != items.front().index()) Lexer::fail_at(at, "a list has elements of one type");
    }
    if (items.empty() || std::holds_alternative<int64_t>(items[0])) return collect<int64_t>(items);
    if (std::holds_alternative<double>(items[0])) return collect<double>(items);
    return collect<std::string>(items);
  }

  template <typename T>
  static std::vector<T> collect(const std::vector<AttrValue>& items) {
    std::vector<T> values;
    for (const AttrValue& item : items) values.push_back(std::get<T>(item));
    return values;
  }

  AttrValue subgraph(const Token& at) {
    if (++depth_ > kMaxDepth) Lexer::fail_at(at, "graphs are nested too deeply");
    expect("{");
    auto inner = std::make_shared<const Graph>(graph());
    expect("}");
    --depth_;
    return inner;
  }

  // The data of a constant of this type.
  Tensor elements(const TensorType& type) {
    const auto dims = type.shape.fixed();
    const auto count = type.shape.element_count();
    if (!dims || !count || type.dtype == DType::kUndefined || element_bytes(type.dtype) == 0) {
      lexer_.fail("a constant needs an element type and fixed dimensions");
    }
    const Token at = lexer_.peek();
    if (is("[")) return numbers(type.dtype, *dims, static_cast<size_t>(*count));
    const std::string form = word("the constant's elements").text;
    if (form == "bytes") {
      const std::string bytes = string();
      if (bytes.size() != static_cast<size_t>(*count) * element_bytes(type.dtype))
        Lexer::fail_at(at, "wrong number of bytes");
      return Tensor::copy_of(type.dtype, *dims, std::as_bytes(std::span(bytes)));
    }
    if (form == "hash") Lexer::fail_at(at, "the elements are not in the text: print it in full, or say random(seed)");
    if (form != "random") Lexer::fail_at(at, "'[…]', 'bytes' or 'random(seed)' is expected");
    expect("(");
    const auto seed = parse_number<uint64_t>(word("a seed"));
    expect(")");
    if (*count > kMaxRandomElements) Lexer::fail_at(at, "the constant is too large");
    return random_tensor(type.dtype, *dims, seed);
  }

  Tensor numbers(DType dtype, const Dims& dims, size_t count) {
    const Token at = lexer_.peek();
    if (!has_number_form(dtype)) Lexer::fail_at(at, "elements of this type are written as bytes");
    expect("[");
    return visit_numeric(dtype, [&]<typename T>(Tag<T>) {
      std::vector<char> raw;  // of T: vector<bool> has no elements in memory
      for (size_t i = 0; !accept("]"); ++i) {
        if (i > 0) expect(",");
        if (i == count) lexer_.fail(fmt::format("more than {} elements", count));
        const T value = element<T>();
        const auto* bytes = reinterpret_cast<const char*>(&value);
        raw.insert(raw.end(), bytes, bytes + sizeof(T));
      }
      if (raw.size() != count * sizeof(T)) Lexer::fail_at(at, fmt::format("{} elements are expected", count));
      return Tensor::copy_of(dtype, dims, std::as_bytes(std::span(raw)));
    });
  }

  template <typename T>
  T element() {
    const Token token = word("a number");
    if constexpr (std::is_same_v<T, bool>) {
      if (token.text != "true" && token.text != "false") Lexer::fail_at(token, "true or false is expected");
      return token.text == "true";
    } else if constexpr (std::is_integral_v<T>) {
      return parse_number<T>(token);
    } else {
      if (token.text == "nan" && accept("(")) {
        const uint64_t bits = parse_hex(lexer_.take());
        expect(")");
        T value;
        std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
        return value;
      }
      return static_cast<T>(parse_number<std::conditional_t<std::is_same_v<T, double>, double, float>>(token));
    }
  }

  Lexer lexer_;
  const FindRow& find_row_;
  int depth_ = 0;
};

}  // namespace

Graph parse_text(std::string_view text, const FindRow& find_row) { return Parser(text, find_row).run(); }

}  // namespace amct
