#include "base/files.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace amct {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 18;
constexpr mode_t kFileMode = 0640;

[[noreturn]] void cannot(ErrorCode code, std::string_view action, const std::filesystem::path& path, int error) {
  throw Error(code, fmt::format("cannot {} {}: {}", action, path.string(), std::strerror(error)), {},
              error == ENOSPC ? "free some space or choose another place" : "check the path and its permissions");
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) cannot(ErrorCode::kInput, "read", path, errno);
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    const int error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    ::close(fd);
    cannot(ErrorCode::kInput, "read", path, error);
  }
  auto file = std::shared_ptr<MappedFile>(new MappedFile);
  file->path_ = path;
  file->size_ = static_cast<size_t>(status.st_size);
  if (file->size_ > 0) {
    void* data = ::mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    if (data == MAP_FAILED) {
      ::close(fd);
      file->size_ = 0;
      cannot(ErrorCode::kResource, "map", path, error);
    }
    file->data_ = static_cast<const std::byte*>(data);
  }
  ::close(fd);
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_text(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

OutputFiles::~OutputFiles() {
  for (const auto& writer : writers_) {
    if (writer->fd_ >= 0) ::close(writer->fd_);
    if (!committed_ && !writer->temporary_.empty()) ::unlink(writer->temporary_.c_str());
  }
}

OutputFiles::Writer& OutputFiles::add(const std::filesystem::path& path) {
  auto writer = std::make_unique<Writer>();
  writer->target_ = path;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) cannot(ErrorCode::kResource, "create the folder", folder, error.value());
  if (std::filesystem::is_directory(path)) cannot(ErrorCode::kResource, "write", path, EISDIR);
  // Once the file is there nothing may fail before its name is known.
  std::string temporary = (folder / fmt::format(".{}.XXXXXX", path.filename().string())).string();
  writer->backup_ = temporary + ".old";
  writers_.push_back(std::move(writer));
  Writer& added = *writers_.back();
  added.fd_ = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (added.fd_ < 0) cannot(ErrorCode::kResource, "write", path, errno);
  std::copy(temporary.begin(), temporary.end(), added.backup_.begin());
  added.temporary_ = std::move(temporary);
  return added;
}

std::vector<std::filesystem::path> OutputFiles::targets() const {
  std::vector<std::filesystem::path> paths;
  for (const auto& writer : writers_) paths.push_back(writer->target_);
  return paths;
}

void OutputFiles::commit() {
  for (const auto& writer : writers_) {
    writer->flush();
    if (::fchmod(writer->fd_, kFileMode) != 0 || ::close(writer->fd_) != 0) {
      cannot(ErrorCode::kResource, "write", writer->target_, errno);
    }
    writer->fd_ = -1;
  }
  put_in_place();
  committed_ = true;
}

// Renames one file after the other. When one cannot be renamed, those before it become again what they were.
void OutputFiles::put_in_place() {
  size_t placed = 0;
  for (; placed < writers_.size(); ++placed) {
    Writer& writer = *writers_[placed];
    if (::link(writer.target_.c_str(), writer.backup_.c_str()) == 0) {
      writer.before_ = Writer::Before::kKept;
    } else if (errno != ENOENT) {
      writer.before_ = Writer::Before::kNotKept;
    }
    if (::rename(writer.temporary_.c_str(), writer.target_.c_str()) != 0) break;
  }
  const int error = errno;
  for (size_t i = 0; i < writers_.size(); ++i) {
    Writer& writer = *writers_[i];
    const bool undo = i < placed && placed < writers_.size();
    if (undo && writer.before_ == Writer::Before::kNothing) ::unlink(writer.target_.c_str());
    if (writer.before_ == Writer::Before::kKept) {
      undo ? ::rename(writer.backup_.c_str(), writer.target_.c_str()) : ::unlink(writer.backup_.c_str());
    }
    if (i < placed) writer.temporary_.clear();
  }
  if (placed < writers_.size()) cannot(ErrorCode::kResource, "write", writers_[placed]->target_, error);
}

void OutputFiles::Writer::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void OutputFiles::Writer::write(std::span<const std::byte> bytes) {
  position_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() > kBufferBytes) {
    write_through(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void OutputFiles::Writer::flush() {
  write_through(buffer_);
  buffer_.clear();
}

void OutputFiles::Writer::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) cannot(ErrorCode::kResource, "write", target_, written < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  OutputFiles files;
  files.add(path).write(text);
  files.commit();
}

}  // namespace amct
