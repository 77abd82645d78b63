#include "base/error.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

namespace amct {
namespace {

std::string describe(const Where& where) {
  std::string text;
  if (!where.node.empty()) text += fmt::format(", in node '{}'", where.node);
  if (!where.op.empty()) text += fmt::format("{} ({})", where.node.empty() ? "," : "", where.op);
  if (!where.model.empty()) {
    text += fmt::format("{} {}", where.node.empty() ? ", in" : " of", where.model);
  }
  if (!where.file.empty()) {
    text += fmt::format(", in {}", where.file);
    if (where.line > 0) text += fmt::format(":{}", where.line);
    if (where.column > 0) text += fmt::format(":{}", where.column);
  }
  return text;
}

std::string compose(const std::string& message, const Where& where, const std::string& hint) {
  std::string line = message + describe(where);
  if (!hint.empty()) line += "; " + hint;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

std::string join_messages(const std::vector<Error>& errors) {
  std::string text;
  for (const Error& error : errors) {
    if (!text.empty()) text += "; ";
    text += error.what();
  }
  return text;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

Error::Error(ErrorCode code, std::string message) : Error(code, std::move(message), Where{}) {}

Error::Error(ErrorCode code, std::string message, Where where, std::string hint)
    : code_(code),
      message_(std::move(message)),
      where_(std::move(where)),
      hint_(std::move(hint)),
      line_(compose(message_, where_, hint_)) {}

Error::Error(const Error&) = default;
Error::Error(Error&&) noexcept = default;
Error& Error::operator=(const Error&) = default;
Error& Error::operator=(Error&&) noexcept = default;
Error::~Error() = default;

Error Error::with(const Where& outer) const {
  Where merged = where_;
  if (merged.model.empty()) merged.model = outer.model;
  if (merged.node.empty()) merged.node = outer.node;
  if (merged.op.empty()) merged.op = outer.op;
  if (merged.file.empty()) {
    merged.file = outer.file;
    merged.line = outer.line;
    merged.column = outer.column;
  }
  return Error(code_, message_, merged, hint_);
}

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInput:
    case ErrorCode::kConfig:
    case ErrorCode::kNumeric:
    case ErrorCode::kResource: return 1;
    case ErrorCode::kUnsupported: return 2;
    case ErrorCode::kInternal: return 3;
  }
  return 3;
}

ErrorList::ErrorList(std::vector<Error> errors)
    : Error(errors.front().code(), join_messages(errors)), errors_(std::move(errors)) {}

void Faults::add(Error error) { errors_.push_back(std::move(error)); }

void Faults::throw_if_any() const {
  if (errors_.size() == 1) throw errors_.front();
  if (!errors_.empty()) throw ErrorList(errors_);
}

std::string closest(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

void internal_error(std::string_view message, const char* path, int line) {
  std::string_view file = path;
  if (const size_t src = file.rfind("src/"); src != std::string_view::npos) file.remove_prefix(src);
  throw Error(ErrorCode::kInternal, fmt::format("internal error: {} ({}:{})", message, file, line), {},
              "please report it with the command that led here");
}

}  // namespace amct
