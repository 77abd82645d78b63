# Wire formats that are read and written with protobuf: our own descriptions of them (proto/), generated as lite code
# under our own package name, with hidden symbols, each seen by the folders of its format only.
set(wire_dir ${PROJECT_BINARY_DIR}/generated/wire)
file(MAKE_DIRECTORY ${wire_dir})
add_custom_command(
  OUTPUT ${wire_dir}/onnx_wire.pb.cc ${wire_dir}/onnx_wire.pb.h
  COMMAND ${Protobuf_PROTOC_EXECUTABLE} --proto_path=${PROJECT_SOURCE_DIR}/proto --cpp_out=lite:${wire_dir} onnx_wire.proto
  DEPENDS ${PROJECT_SOURCE_DIR}/proto/onnx_wire.proto
  VERBATIM)
add_library(amct_wire_onnx STATIC ${wire_dir}/onnx_wire.pb.cc)
target_include_directories(amct_wire_onnx SYSTEM PUBLIC ${wire_dir})
target_compile_features(amct_wire_onnx PUBLIC cxx_std_20)
target_link_libraries(amct_wire_onnx PUBLIC protobuf::libprotobuf-lite)
