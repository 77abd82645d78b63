// The operator table as text, JSON and Markdown: what `amct ops` prints and docs/ops.md holds.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace amct {

std::string ops_text();      // one aligned line per operator
std::string ops_markdown();  // the page docs/ops.md
nlohmann::ordered_json ops_json();

}  // namespace amct
