// What the fuzz targets share: an input as a file, and what counts as a finding.
//
// A target may refuse any input with an Error, as long as it is not an internal one; everything else (another
// exception, a report of a sanitizer, more memory or time than the limits of scripts/fuzz) is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace amct::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline std::span<const std::byte> bytes_of(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span(data, size));
}

// A folder of this process in memory, where there is such a place; temporary files of the library go there too.
inline const std::filesystem::path& scratch() {
  static const std::filesystem::path folder = [] {
    namespace fs = std::filesystem;
    std::string name =
        (fs::is_directory("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) / "amct_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    setenv("TMPDIR", name.c_str(), 1);
    static const struct Remover {
      fs::path folder;
      ~Remover() {
        std::error_code ignored;
        fs::remove_all(folder, ignored);
      }
    } remover{name};
    return fs::path(name);
  }();
  return folder;
}

inline std::filesystem::path as_file(const uint8_t* data, size_t size, const char* name) {
  const auto path = scratch() / name;
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  return path;
}

inline void check(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "finding: %s\n", what.c_str());
  std::abort();
}

// True if `f` succeeded, false if it refused the input as it should.
template <typename F>
bool accepts(F&& f) {
  try {
    f();
    return true;
  } catch (const Error& error) {
    check(error.code() != ErrorCode::kInternal, error.what());
    return false;
  }
}

}  // namespace amct::fuzz
