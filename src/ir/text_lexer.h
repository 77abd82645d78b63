// The words of the graph's text form, for its printer (text.cc) and its parser (text_parser.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ir/shape.h"

namespace amct {

std::string quote(std::string_view text);       // "…" with \n, \", \\ and \xNN
std::string print_name(std::string_view name);  // as it is if it is a word, else quoted
std::string print_type(const TensorType& type);
bool has_number_form(DType dtype);                      // elements that print as numbers; the others print as bytes
uint64_t hash_bytes(std::span<const std::byte> bytes);  // FNV-1a

struct Token {
  enum class Kind { kEnd, kWord, kString, kValue, kPunctuation };
  Kind kind = Kind::kEnd;
  std::string text;  // a word or punctuation as written; a string or %value without quotes and escapes
  int line = 1;
  int column = 1;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { advance(); }
  const Token& peek() const { return token_; }
  Token take();  // the current token; moves on to the next
  [[noreturn]] void fail(std::string message) const { fail_at(token_, std::move(message)); }
  [[noreturn]] static void fail_at(const Token& token, std::string message);  // Error(kInput) with line and column

 private:
  void advance();
  void skip_space();
  char at(size_t offset = 0) const { return position_ + offset < text_.size() ? text_[position_ + offset] : '\0'; }
  std::string word();
  std::string string();

  std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  size_t line_start_ = 0;
  Token token_;
};

}  // namespace amct
