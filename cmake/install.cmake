# What users get: the program, the shared library with its few headers, and a CMake package (find_package(amct), target
# amct::amct). Of the library's symbols only those of include/amct are visible.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

file(GLOB api_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/api/*.cc)
add_library(amct_shared SHARED ${api_sources})
set_target_properties(amct_shared PROPERTIES OUTPUT_NAME amct EXPORT_NAME amct VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_compile_definitions(amct_shared PRIVATE AMCT_VERSION="${PROJECT_VERSION}")
target_compile_features(amct_shared PUBLIC cxx_std_17)
target_include_directories(amct_shared PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(amct_shared PRIVATE amct_workflow)
target_link_options(amct_shared PRIVATE -Wl,--exclude-libs,ALL)
if(NOT AMCT_SANITIZE)
  target_link_options(amct_shared PRIVATE -Wl,--no-undefined)
endif()

install(TARGETS amct RUNTIME)
install(PROGRAMS ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/amct_onnx TYPE BIN)
install(TARGETS amct_shared EXPORT amctTargets LIBRARY)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/amct TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/amct)
install(EXPORT amctTargets NAMESPACE amct:: FILE amctConfig.cmake DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/amctConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/amctConfigVersion.cmake DESTINATION ${package_dir})
