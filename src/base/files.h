// Files: memory-mapped reading and all-or-nothing writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace amct {

// A whole file mapped read-only. Keep the shared_ptr alive as long as a view into it is used.
class MappedFile {
 public:
  // Throws Error(kInput) when the file does not exist, is a folder or cannot be read.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Reads a small text file whole. Throws Error(kInput).
std::string read_text(const std::filesystem::path& path);

// A set of output files that appear together: each is written under a temporary name in its own folder, and `commit`
// renames them. Anything that goes wrong before `commit` leaves nothing behind; existing files stay untouched until
// then.
class OutputFiles {
 public:
  OutputFiles() = default;
  ~OutputFiles();
  OutputFiles(const OutputFiles&) = delete;
  OutputFiles& operator=(const OutputFiles&) = delete;

  // A writer for `path`; missing parent folders are created. Throws Error(kResource) when the place is not writable.
  class Writer {
   public:
    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    uint64_t position() const { return position_; }

   private:
    friend class OutputFiles;
    std::filesystem::path target_;
    std::string temporary_, backup_;
    int fd_ = -1;
    uint64_t position_ = 0;
    // What stood in its place; kept beside it until all files are in theirs, where the file system can.
    enum class Before { kNothing, kKept, kNotKept } before_ = Before::kNothing;
    std::vector<std::byte> buffer_;
    void flush();
    void write_through(std::span<const std::byte> bytes);
  };
  Writer& add(const std::filesystem::path& path);
  // The paths that were added, in order.
  std::vector<std::filesystem::path> targets() const;

  // Completes all files and renames them to their final names; when one cannot be renamed, those before it become again
  // what they were. Nobody sees half a file, however the process ends; the disk is not waited for, as results can be
  // made again after a power cut.
  void commit();

 private:
  void put_in_place();
  std::vector<std::unique_ptr<Writer>> writers_;
  bool committed_ = false;
};

// Writes one small file atomically.
void write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace amct
