#include "ir/text_lexer.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"

namespace amct {
namespace {

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '/' || c == '-' || c == '+';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// A named dim that can be told from an extent.
std::string print_dim(const Dim& dim) {
  if (dim.is_fixed()) return fmt::format("{}", dim.extent());
  if (!dim.is_named()) return "?";
  const char first = dim.name()[0];
  const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '_';
  return letter ? print_name(dim.name()) : quote(dim.name());
}

}  // namespace

std::string quote(std::string_view text) {
  std::string out(1, '"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

std::string print_name(std::string_view name) {
  const bool word = !name.empty() && std::all_of(name.begin(), name.end(), is_word_char);
  return word ? std::string(name) : quote(name);
}

std::string print_type(const TensorType& type) {
  std::string out(type.dtype == DType::kUndefined ? "?" : name_of(type.dtype));
  if (!type.shape.ranked()) return out;
  out += '[';
  for (size_t i = 0; i < type.shape.rank(); ++i) {
    if (i > 0) out += ", ";
    out += print_dim(type.shape[i]);
  }
  out += ']';
  return out;
}

bool has_number_form(DType dtype) {
  return dtype == DType::kBool || is_integer(dtype) || (is_floating(dtype) && bit_width(dtype) >= 16);
}

uint64_t hash_bytes(std::span<const std::byte> bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

void Lexer::fail_at(const Token& token, std::string message) {
  throw Error(ErrorCode::kInput, fmt::format("line {}, column {}: {}", token.line, token.column, message));
}

Token Lexer::take() {
  Token token = std::move(token_);
  advance();
  return token;
}

void Lexer::skip_space() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c == '#') {
      position_ = std::min(text_.find('\n', position_), text_.size());
    } else if (c == '\n') {
      ++line_;
      line_start_ = ++position_;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++position_;
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skip_space();
  token_ = {Token::Kind::kEnd, {}, line_, static_cast<int>(position_ - line_start_) + 1};
  if (position_ == text_.size()) return;
  if (at() == '%') {
    token_.kind = Token::Kind::kValue;
    ++position_;
    token_.text = at() == '"' ? string() : word();
    if (token_.text.empty()) fail("a value needs a name");
  } else if (at() == '"') {
    token_.kind = Token::Kind::kString;
    token_.text = string();
  } else if (is_word_char(at())) {
    token_.kind = Token::Kind::kWord;
    token_.text = word();
  } else {
    token_.kind = Token::Kind::kPunctuation;
    token_.text.push_back(text_[position_++]);
  }
}

std::string Lexer::word() {
  const size_t start = position_;
  while (is_word_char(at())) ++position_;
  return std::string(text_.substr(start, position_ - start));
}

std::string Lexer::string() {
  std::string out;
  for (++position_; at() != '"'; ++position_) {
    if (position_ >= text_.size() || at() == '\n') fail("a string without an end");
    if (at() != '\\') {
      out += at();
      continue;
    }
    const char escape = at(1);
    if (escape == 'x') {
      const int high = hex_digit(at(2));
      const int low = hex_digit(at(3));
      if (high < 0 || low < 0) fail("\\x needs two hexadecimal digits");
      out += static_cast<char>(high * 16 + low);
      position_ += 3;
      continue;
    }
    if (escape != 'n' && escape != '"' && escape != '\\') fail("unknown escape in a string");
    out += escape == 'n' ? '\n' : escape;
    ++position_;
  }
  ++position_;
  return out;
}

}  // namespace amct
