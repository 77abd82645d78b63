# Lists src/ops/*_op.cc and writes one call per file, so that the table needs no static constructors and adding an
# operator is adding a file. File foo_op.cc defines `void amct::add_foo_op(amct::OpTable&)`.
file(GLOB AMCT_OP_FILES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/ops/*_op.cc)
set(declarations "")
set(calls "")
foreach(file ${AMCT_OP_FILES})
  get_filename_component(stem ${file} NAME_WE)
  string(APPEND declarations "void add_${stem}(OpTable& table);\n")
  string(APPEND calls "  add_${stem}(table);\n")
endforeach()
set(AMCT_OP_LIST_DIR ${PROJECT_BINARY_DIR}/generated/ops)
file(CONFIGURE OUTPUT ${AMCT_OP_LIST_DIR}/op_list.inc
     CONTENT "${declarations}\ninline void add_all_ops(OpTable& table) {\n  (void)table;\n${calls}}\n")
