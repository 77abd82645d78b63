// A reader of protobuf's text format that needs no schema: a message is a list of named fields with their positions.
// (The lite runtime of protobuf has no text format.)
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace amct {

struct TextField {
  enum class Kind { kWord, kString, kMessage };  // a word is a number, true, false or an enumerator
  std::string name;
  int line = 0;  // of the name, 1-based
  int column = 0;
  Kind kind = Kind::kWord;
  std::string value;              // of a word or string, unescaped
  std::vector<TextField> fields;  // of a message
};

// Throws Error(kConfig) with the position of the first syntax fault.
std::vector<TextField> parse_text_proto(std::string_view text, const std::string& file);

// In double quotes, escaped as protobuf's own printer does: every byte outside printable ASCII in octal.
std::string quote_text_proto(std::string_view text);

// The shortest decimal that restores the value, with a point or exponent: 1.0, 0.25, 2.0458456e-05.
std::string format_float(float value);

}  // namespace amct
