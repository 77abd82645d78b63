// Just enough of the zip format (APPNOTE 6.3, with its 64-bit extension) to read .npz files: the central directory, and
// members that are stored or deflated. Every offset and size is checked against the file before it is used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/input_file.h"

namespace amct {

struct ZipMember {
  std::string name;
  uint64_t offset = 0;        // of its bytes in the archive
  uint64_t packed_bytes = 0;  // there
  uint64_t bytes = 0;         // unpacked
  uint32_t crc = 0;
  bool deflated = false;
};

// Throws Error(kInput) on anything that is not a sound archive of such members.
std::vector<ZipMember> list_zip(const InputFile& archive);

// Inflates a member into a temporary file, in constant memory. A member that claims more than deflate can pack into its
// bytes is refused before anything is written; one that holds more or less than it claims is an error.
std::shared_ptr<const InputFile> unpack(const InputFile& archive, const ZipMember& member);

}  // namespace amct
