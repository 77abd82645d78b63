// The table of all rows. The list of files is generated at configure time (cmake/op_list.cmake): no static
// constructors, and adding an operator is adding a file.
#include "ops/op_row.h"

namespace amct {

#include "op_list.inc"

const OpTable& op_table() {
  static const OpTable table = [] {
    OpTable result;
    add_all_ops(result);
    return result;
  }();
  return table;
}

}  // namespace amct
