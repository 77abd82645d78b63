// A file that is read piece by piece at any offset, from several threads: what streams are made of. (A mapping would
// count in the resident memory, page by page, until everything that was ever read is there.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace amct {

class InputFile {
 public:
  // Throws Error(kInput) when the file does not exist, is a folder or cannot be read.
  static std::shared_ptr<const InputFile> open(const std::filesystem::path& path);
  // A nameless file in $TMPDIR (/var/tmp by default) that vanishes with the last reference; `label` is for messages.
  static std::shared_ptr<InputFile> temporary(std::string label);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }
  const std::string& label() const { return label_; }
  // Throws Error(kInput) when the piece does not lie inside the file.
  void read(uint64_t offset, std::span<std::byte> destination) const;
  void append(std::span<const std::byte> bytes);  // temporary files only

 private:
  InputFile() = default;
  int fd_ = -1;
  uint64_t size_ = 0;
  std::string label_;
};

// Error(kInput) about a data file.
Error data_error(std::string message, std::string file, std::string hint = {});

// Little-endian unsigned integer from up to eight bytes; big-endian with `read_big`.
uint64_t read_little(std::span<const std::byte> bytes);
uint64_t read_big(std::span<const std::byte> bytes);

// Turns each element of `width` bytes around.
void swap_bytes(std::span<std::byte> bytes, size_t width);

}  // namespace amct
