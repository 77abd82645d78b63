// Reads one message of a `.cfg` file against its row of the option table: which fields there are, their types, defaults
// and legal values. Typed access comes after; a fault makes a field count as not written.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "recipe/amct_config/option_table.h"
#include "recipe/amct_config/quant_config.h"
#include "recipe/text_proto.h"

namespace amct::config {

class CfgReader {
 public:
  struct Document {
    std::string file;
    Faults faults;
    void fault(const TextField& at, const std::string& what, const std::string& hint = {}) {
      faults.add(Error(ErrorCode::kConfig, what, {.file = file, .line = at.line, .column = at.column}, hint));
    }
  };

  // `owner` is the field that holds the message (null for the whole file).
  CfgReader(Document& document, const Message& message, const std::vector<TextField>& fields, const TextField* owner);

  // Of a field that stands more than once the last one holds. The defaults are the table's; the `optional` readers give
  // nothing where the file says nothing.
  bool flag(std::string_view name) const;
  std::optional<bool> optional_flag(std::string_view name) const;
  double number(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  int64_t enumerator(std::string_view name) const;  // counted from 1; 0 = not written and no default
  std::string text(std::string_view name) const;
  // Of a field whose items must differ.
  std::vector<Named> names(std::string_view name) const;
  std::vector<const TextField*> all(std::string_view name) const;
  const TextField* last(std::string_view name) const;
  // The last written field among those of a choice; null if there is none.
  const TextField* chosen(std::string_view choice) const;
  // A fault of the whole message, reported at `name` if it was written.
  void fault(std::string_view name, const std::string& what, const std::string& hint = {}) const;

 private:
  bool check(const Field& field, const TextField& written);
  bool check_number(const Field& field, const TextField& written);
  void check_repeated(const Field& field);

  Document& document_;
  const Message& message_;
  const TextField* owner_;
  std::vector<const TextField*> written_;  // those without fault, in order
};

}  // namespace amct::config
