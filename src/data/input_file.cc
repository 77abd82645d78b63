#include "data/input_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace amct {

Error data_error(std::string message, std::string file, std::string hint) {
  Where where;
  where.file = std::move(file);
  return Error(ErrorCode::kInput, std::move(message), std::move(where), std::move(hint));
}

std::shared_ptr<const InputFile> InputFile::open(const std::filesystem::path& path) {
  auto file = std::shared_ptr<InputFile>(new InputFile);
  file->label_ = path.string();
  file->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file->fd_ < 0 || ::fstat(file->fd_, &status) != 0) {
    throw data_error(fmt::format("cannot read the file: {}", std::strerror(errno)), file->label_,
                     "check the path and its permissions");
  }
  if (!S_ISREG(status.st_mode)) throw data_error("not a regular file", file->label_);
  file->size_ = static_cast<uint64_t>(status.st_size);
  return file;
}

std::shared_ptr<InputFile> InputFile::temporary(std::string label) {
  const char* chosen = std::getenv("TMPDIR");
  const std::string folder = chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
  std::string name = folder + "/amct.XXXXXX";
  auto file = std::shared_ptr<InputFile>(new InputFile);
  file->label_ = std::move(label);
  file->fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (file->fd_ < 0) {
    throw Error(ErrorCode::kResource,
                fmt::format("cannot make a temporary file in {}: {}", folder, std::strerror(errno)), {},
                "set TMPDIR to a folder with free space");
  }
  ::unlink(name.c_str());
  return file;
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void InputFile::read(uint64_t offset, std::span<std::byte> destination) const {
  if (offset > size_ || destination.size() > size_ - offset) throw data_error("the file ends too early", label_);
  while (!destination.empty()) {
    const ssize_t got = ::pread(fd_, destination.data(), destination.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw data_error(fmt::format("cannot read the file: {}", std::strerror(errno)), label_);
    if (got == 0) throw data_error("the file became shorter while it was read", label_);
    destination = destination.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

void InputFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      throw Error(ErrorCode::kResource, fmt::format("cannot unpack {}: {}", label_, std::strerror(errno)), {},
                  "set TMPDIR to a folder with free space");
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    size_ += static_cast<uint64_t>(written);
  }
}

uint64_t read_little(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | std::to_integer<uint64_t>(bytes[i - 1]);
  return value;
}

uint64_t read_big(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<uint64_t>(byte);
  return value;
}

void swap_bytes(std::span<std::byte> bytes, size_t width) {
  if (width < 2) return;
  for (size_t at = 0; at + width <= bytes.size(); at += width) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                 bytes.begin() + static_cast<std::ptrdiff_t>(at + width));
  }
}

}  // namespace amct
