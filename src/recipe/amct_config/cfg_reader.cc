#include "recipe/amct_config/cfg_reader.h"
#include "base/suggestion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace amct::config {
namespace {

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> parse_bool(const std::string& text) {
  if (text == "true" || text == "True" || text == "t" || text == "1") return true;
  if (text == "false" || text == "False" || text == "f" || text == "0") return false;
  return std::nullopt;
}

int64_t parse_enumerator(const Field& field, std::string_view text) {
  const auto at = std::ranges::find(field.names, text);
  if (at != field.names.end()) return at - field.names.begin() + 1;
  const auto number = parse_number(text);
  const double last = static_cast<double>(field.names.size()) + field.first_number - 1;
  const bool known = number && *number == std::floor(*number) && *number >= field.first_number && *number <= last;
  return known ? static_cast<int64_t>(*number) - field.first_number + 1 : 0;
}

}  // namespace

CfgReader::CfgReader(Document& document, const Message& message, const std::vector<TextField>& fields,
                     const TextField* owner)
    : document_(document), message_(message), owner_(owner) {
  std::vector<std::string> known;
  for (const Field& field : message.fields) known.emplace_back(field.name);
  for (const TextField& written : fields) {
    const Field* field = message.find(written.name);
    if (field == nullptr) {
      document.fault(written, fmt::format("{} has no field '{}'", message.name, written.name),
                     suggestion(written.name, known));
    } else if (check(*field, written)) {
      written_.push_back(&written);
    }
  }
  for (const Field& field : message.fields) {
    if (field.repeated && field.type == FieldType::kString) check_repeated(field);
    if (!field.required || std::ranges::find(fields, field.name, &TextField::name) != fields.end()) continue;
    const std::string what = fmt::format("{} lacks its field '{}'", message.name, field.name);
    if (owner != nullptr) document.fault(*owner, what);
  }
}

bool CfgReader::check(const Field& field, const TextField& written) {
  const auto expect = [&](bool right, const std::string& what) {
    if (!right) document_.fault(written, fmt::format("{} must be {}", field.name, what));
    return right;
  };
  const bool word = written.kind == TextField::Kind::kWord;
  switch (field.type) {
    case FieldType::kMessage: return expect(written.kind == TextField::Kind::kMessage, "a message: { … }");
    case FieldType::kString: return expect(written.kind == TextField::Kind::kString, "a string in quotes");
    case FieldType::kBool: return expect(word && parse_bool(written.value), "true or false");
    case FieldType::kEnum:
      return expect(word && parse_enumerator(field, written.value) > 0,
                    fmt::format("{}, not '{}'", fmt::join(field.names, " or "), written.value));
    case FieldType::kUInt:
    case FieldType::kFloat: return word ? check_number(field, written) : expect(false, "a number");
  }
  return false;
}

bool CfgReader::check_number(const Field& field, const TextField& written) {
  const auto value = parse_number(written.value);
  const bool whole = field.type == FieldType::kUInt;
  if (!value || (whole && (*value != std::floor(*value) || *value < 0 || *value > UINT32_MAX))) {
    document_.fault(written, fmt::format("{} is '{}', must be {}", field.name, written.value,
                                         whole ? "an integer from 0 up" : "a number"));
    return false;
  }
  if (field.legal.holds(*value)) return true;
  document_.fault(written, fmt::format("{} is {}, must be {}", field.name, written.value, field.legal.demand()));
  return false;
}

void CfgReader::check_repeated(const Field& field) {
  std::set<std::string> seen;
  for (const TextField* item : all(field.name)) {
    if (seen.insert(item->value).second) continue;
    document_.fault(*item, fmt::format("'{}' stands twice in {}", item->value, field.name));
  }
}

std::vector<const TextField*> CfgReader::all(std::string_view name) const {
  std::vector<const TextField*> result;
  std::ranges::copy_if(written_, std::back_inserter(result), [&](const TextField* f) { return f->name == name; });
  return result;
}

const TextField* CfgReader::last(std::string_view name) const {
  AMCT_CHECK(message_.find(name) != nullptr, fmt::format("{} has no field {}", message_.name, name));
  const auto found = all(name);
  return found.empty() ? nullptr : found.back();
}

const TextField* CfgReader::chosen(std::string_view choice) const {
  for (auto at = written_.rbegin(); at != written_.rend(); ++at) {
    if (message_.find((*at)->name)->choice == choice) return *at;
  }
  return nullptr;
}

std::optional<bool> CfgReader::optional_flag(std::string_view name) const {
  const TextField* written = last(name);
  return written == nullptr ? std::nullopt : parse_bool(written->value);
}

bool CfgReader::flag(std::string_view name) const {
  return optional_flag(name).value_or(message_.find(name)->fallback == "true");
}

double CfgReader::number(std::string_view name) const {
  const TextField* written = last(name);
  return *parse_number(written != nullptr ? std::string_view(written->value) : message_.find(name)->fallback);
}

int64_t CfgReader::integer(std::string_view name) const { return static_cast<int64_t>(number(name)); }

int64_t CfgReader::enumerator(std::string_view name) const {
  const TextField* written = last(name);
  const Field& field = *message_.find(name);
  return parse_enumerator(field, written != nullptr ? std::string_view(written->value) : field.fallback);
}

std::string CfgReader::text(std::string_view name) const {
  const TextField* written = last(name);
  return written != nullptr ? written->value : std::string(message_.find(name)->fallback);
}

std::vector<Named> CfgReader::names(std::string_view name) const {
  std::vector<Named> result;
  for (const TextField* item : all(name)) result.push_back({item->value, item->line, item->column});
  return result;
}

void CfgReader::fault(std::string_view name, const std::string& what, const std::string& hint) const {
  const TextField* at = last(name);
  document_.fault(at != nullptr ? *at : *owner_, what, hint);
}

}  // namespace amct::config
