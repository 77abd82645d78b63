// Shapes of raw files as options give them: "name:16,3,224,224". One extent may be -1: it follows from a file's size.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "ir/shape.h"

namespace amct {

// Parts between separators, without the blanks around them; of an empty text one empty part.
std::vector<std::string> split_list(std::string_view text, char separator);

struct ShapeOption {
  std::string name;  // of the input; "" if there is none
  Dims dims;
};
// The last ':' ends the name, which may hold others. `option` is its name in faults, Error(kConfig).
ShapeOption parse_shape_option(std::string_view text, std::string_view option, Faults& faults);

}  // namespace amct
