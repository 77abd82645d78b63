#include "recipe/text_proto.h"

#include <fmt/core.h>

#include <cctype>

#include "base/error.h"

namespace amct {
namespace {

constexpr int kMaxDepth = 64;

class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  std::vector<TextField> parse() {
    std::vector<TextField> fields = message(0);
    if (!at_end()) fail("'}' without '{'");
    return fields;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void advance() {
    if (text_[at_] == '\n') {
      ++line_;
      column_ = 0;
    }
    ++at_;
    ++column_;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kConfig, what, {.file = file_, .line = line_, .column = column_});
  }

  void skip_blanks() {
    while (!at_end()) {
      if (std::isspace(static_cast<unsigned char>(peek()))) {
        advance();
      } else if (peek() == '#') {
        while (!at_end() && peek() != '\n') advance();
      } else {
        return;
      }
    }
  }

  bool take(char c) {
    skip_blanks();
    if (peek() != c || at_end()) return false;
    advance();
    return true;
  }

  std::string word() {
    skip_blanks();
    std::string result;
    while (!at_end() && (std::isalnum(static_cast<unsigned char>(peek())) ||
                         std::string_view("_.+-").find(peek()) != std::string_view::npos)) {
      result += peek();
      advance();
    }
    if (result.empty()) fail(at_end() ? "unexpected end of file" : fmt::format("unexpected '{}'", peek()));
    return result;
  }

  std::vector<TextField> message(int depth) {
    if (depth > kMaxDepth) fail("messages are nested too deeply");
    std::vector<TextField> fields;
    for (skip_blanks(); !at_end() && peek() != '}'; skip_blanks()) {
      TextField field;
      field.line = line_;
      field.column = column_;
      field.name = word();
      const bool colon = take(':');
      skip_blanks();
      if (take('{')) {
        field.kind = TextField::Kind::kMessage;
        field.fields = message(depth + 1);
        if (!take('}')) fail(fmt::format("'{}' is not closed", field.name));
      } else if (!colon) {
        fail(fmt::format("expected ':' or '{{' after '{}'", field.name));
      } else if (peek() == '"' || peek() == '\'') {
        field.kind = TextField::Kind::kString;
        for (; peek() == '"' || peek() == '\''; skip_blanks()) string_into(field.value);
      } else {
        field.value = word();
      }
      if (!take(',')) take(';');
      fields.push_back(std::move(field));
    }
    return fields;
  }

  void string_into(std::string& result) {
    const char quote = peek();
    advance();
    while (true) {
      if (at_end() || peek() == '\n') fail("string is not closed");
      const char c = peek();
      advance();
      if (c == quote) return;
      result += c == '\\' ? escape() : c;
    }
  }

  char escape() {
    if (at_end()) fail("string is not closed");
    const char c = peek();
    if (c >= '0' && c <= '7') return static_cast<char>(digits(8, 3));
    advance();
    switch (c) {
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case 'a': return '\a';
      case 'b': return '\b';
      case 'f': return '\f';
      case 'v': return '\v';
      case 'x':
      case 'X': return static_cast<char>(digits(16, 2));
      case '\\':
      case '\'':
      case '"':
      case '?': return c;
      default: fail(fmt::format("unknown escape '\\{}'", c));
    }
  }

  int digits(int base, int most) {
    int value = 0;
    int count = 0;
    for (; count < most && std::isxdigit(static_cast<unsigned char>(peek())); ++count) {
      const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(peek())));
      const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
      if (digit >= base) break;
      value = value * base + digit;
      advance();
    }
    if (count == 0) fail("escape without digits");
    return value;
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  int line_ = 1;
  int column_ = 1;
};

}  // namespace

std::vector<TextField> parse_text_proto(std::string_view text, const std::string& file) {
  return Parser(text, file).parse();
}

std::string quote_text_proto(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '\n': result += "\\n"; break;
      case '\r': result += "\\r"; break;
      case '\t': result += "\\t"; break;
      case '"': result += "\\\""; break;
      case '\'': result += "\\'"; break;
      case '\\': result += "\\\\"; break;
      default:
        if (c >= 0x20 && c < 0x7f) {
          result += c;
        } else {
          result += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
        }
    }
  }
  return result + '"';
}

std::string format_float(float value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

}  // namespace amct
