#include "recipe/amct_config/option_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace amct::config {
namespace {

using enum FieldType;

std::string type_name(const Field& field) {
  switch (field.type) {
    case kBool: return "bool";
    case kUInt: return "integer";
    case kFloat: return "number";
    case kString: return "string";
    case kEnum: return fmt::format("{}", fmt::join(field.names, " or "));
    case kMessage:
      return fmt::format("[{0}](#{1})", field.message, [&] {
        std::string anchor(field.message);
        std::ranges::transform(anchor, anchor.begin(), [](unsigned char c) { return std::tolower(c); });
        return anchor;
      }());
  }
  return {};
}

std::string code(std::string_view text) { return text.empty() ? "" : fmt::format("`{}`", text); }

}  // namespace

bool Legal::holds(double value) const {
  if (!one_of.empty()) return std::find(one_of.begin(), one_of.end(), value) != one_of.end();
  if (!std::isfinite(value)) return false;
  return (above_low ? value > low : value >= low) && (below_high ? value < high : value <= high);
}

std::string Legal::to_string() const {
  if (!one_of.empty()) return fmt::format("{}", fmt::join(one_of, ", "));
  const bool bounded_below = std::isfinite(low);
  const bool bounded_above = std::isfinite(high);
  if (bounded_below && bounded_above) {
    return fmt::format("{}{}, {}{}", above_low ? '(' : '[', low, high, below_high ? ')' : ']');
  }
  if (bounded_below) return fmt::format("{} {}", above_low ? ">" : ">=", low);
  return {};
}

std::string Legal::demand() const {
  const bool interval = one_of.empty() && std::isfinite(low) && std::isfinite(high);
  return (!one_of.empty() ? "one of " : interval ? "in " : "") + to_string();
}

const Field* Message::find(std::string_view wanted) const {
  const auto at = std::ranges::find(fields, wanted, &Field::name);
  return at == fields.end() ? nullptr : &*at;
}

const Message& message(std::string_view name) {
  const auto at = std::ranges::find(messages(), name, &Message::name);
  AMCT_CHECK(at != messages().end(), fmt::format("no message {}", name));
  return *at;
}

const Field& field(std::string_view message_name, std::string_view name) {
  const Field* found = message(message_name).find(name);
  AMCT_CHECK(found != nullptr, fmt::format("no field {} of {}", name, message_name));
  return *found;
}

std::string options_markdown() {
  std::string text =
      "# Configuration files of AMCT\n\n"
      "`--config FILE` takes AMCT's simplified configuration (`.cfg`, protobuf text), its explicit JSON, and amct's "
      "own "
      "[plan](formats/plan.md); which one it is, the content tells. `amct config MODEL --from x.cfg --out x.json` "
      "writes the explicit form. Generated from the table that the readers use (`src/recipe/amct_config`); "
      "\"JSON\" is the key of the explicit form. Weights alone, with activations left float, cannot be asked for here: "
      "that is `--weight-only` ([howto](howto/weights-only.md)).\n";
  for (const Message& m : messages()) {
    text += fmt::format(
        "\n## {}\n\n{}.\n\n| field | type | default | legal | JSON | option | meaning "
        "|\n|---|---|---|---|---|---|---|\n",
        m.name, m.meaning);
    for (const Field& f : m.fields) {
      text += fmt::format("| `{}`{} | {}{} | {} | {} | {} | {} | {} |\n", f.name, f.required ? " (required)" : "",
                          f.repeated ? "list of " : "", type_name(f), code(f.fallback), f.legal.to_string(),
                          code(f.json), code(f.option), f.meaning);
    }
  }
  return text;
}

}  // namespace amct::config
