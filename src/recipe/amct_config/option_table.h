// The options of AMCT's post-training quantization, in one table: names, types, defaults and legal values of every
// field of its simplified configuration (spec B.1), and the key by which the explicit JSON says the same (spec B.2).
//
// Both readers, the JSON writer, the help of the command line and docs/configuration.md take what they know from here.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace amct::config {

enum class FieldType { kBool, kUInt, kFloat, kString, kEnum, kMessage };

// The values that a number may take: one of a list, or an interval.
struct Legal {
  std::span<const double> one_of = {};  // not empty: nothing else counts
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;   // `low` itself is not legal
  bool below_high = false;  // nor `high`

  bool holds(double value) const;
  std::string to_string() const;  // "4, 6, 7, 8", "(0.5, 1]", "> 0", "" if everything is legal
  std::string demand() const;     // "one of 4, 6, 7, 8", "in (0.5, 1]", "> 0"
};

struct Field {
  std::string_view name;
  FieldType type = FieldType::kBool;
  std::string_view meaning;                      // a clause without a full stop
  std::string_view fallback = {};                // the default as it would be written; empty = none
  Legal legal = {};                              // of kUInt and kFloat
  std::string_view message = {};                 // of kMessage: its type
  std::span<const std::string_view> names = {};  // of kEnum
  int first_number = 1;                          // of kEnum: the number of the first name
  bool repeated = false;
  bool required = false;
  std::string_view choice = {};  // fields of one choice exclude each other: the last one written holds
  std::string_view json = {};  // key in the explicit JSON, below the layer or (first message) at the top; empty = none
  std::string_view option = {};  // option of `amct quantize` that means the same; empty = none
};

struct Message {
  std::string_view name;
  std::string_view meaning;
  std::vector<Field> fields;

  const Field* find(std::string_view field) const;
};

// The first one is what a file holds.
const std::vector<Message>& messages();
const Message& message(std::string_view name);                        // internal error if there is none
const Field& field(std::string_view message, std::string_view name);  // likewise

// The page docs/configuration.md.
std::string options_markdown();

}  // namespace amct::config
