#include "data/zip.h"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace amct {
namespace {

constexpr uint64_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20, kEntryBytes = 46, kLocalBytes = 30;
constexpr uint64_t kCommentLimit = 0xffff;
constexpr uint32_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50, kLocatorSignature = 0x07064b50;
constexpr uint32_t kEntrySignature = 0x02014b50, kLocalSignature = 0x04034b50;
constexpr uint64_t kDirectoryLimit = uint64_t{1} << 28;
constexpr uint64_t kDeflateRatio = 1040;  // deflate packs at most 1032 to 1
constexpr size_t kChunk = size_t{1} << 16;

[[noreturn]] void broken(const InputFile& archive) {
  throw data_error("not a readable zip archive", archive.label(), "write it again with numpy.savez");
}

// A record in memory, read by position; what lies outside is an error.
class Record {
 public:
  Record(const InputFile& archive, uint64_t offset, uint64_t bytes) : archive_(archive), bytes_(bytes) {
    archive.read(offset, bytes_);
  }
  uint64_t number(uint64_t at, size_t width) const {
    if (at > bytes_.size() || width > bytes_.size() - at) broken(archive_);
    return read_little(std::span(bytes_).subspan(at, width));
  }
  std::string text(uint64_t at, uint64_t length) const {
    if (at > bytes_.size() || length > bytes_.size() - at) broken(archive_);
    return std::string(reinterpret_cast<const char*>(bytes_.data()) + at, length);
  }
  uint64_t size() const { return bytes_.size(); }

 private:
  const InputFile& archive_;
  std::vector<std::byte> bytes_;
};

struct Directory {
  uint64_t offset, bytes;
};

Directory find_directory(const InputFile& archive) {
  if (archive.size() < kEndBytes) broken(archive);
  const uint64_t tail_bytes = std::min(archive.size(), kEndBytes + kCommentLimit);
  const uint64_t tail_start = archive.size() - tail_bytes;
  const Record tail(archive, tail_start, tail_bytes);
  for (uint64_t at = tail_bytes - kEndBytes + 1; at-- > 0;) {
    if (tail.number(at, 4) != kEndSignature || at + kEndBytes + tail.number(at + 20, 2) != tail_bytes) continue;
    Directory directory{tail.number(at + 16, 4), tail.number(at + 12, 4)};
    const uint64_t end = tail_start + at;
    if (end >= kLocatorBytes) {
      const Record locator(archive, end - kLocatorBytes, kLocatorBytes);
      if (locator.number(0, 4) == kLocatorSignature) {
        const uint64_t place = locator.number(8, 8);
        if (place > archive.size() || archive.size() - place < kEnd64Bytes) broken(archive);
        const Record end64(archive, place, kEnd64Bytes);
        if (end64.number(0, 4) != kEnd64Signature) broken(archive);
        directory = {end64.number(48, 8), end64.number(40, 8)};
      }
    }
    if (directory.offset > end || directory.bytes > end - directory.offset || directory.bytes > kDirectoryLimit) {
      broken(archive);
    }
    return directory;
  }
  broken(archive);
}

// The 64-bit sizes stand in an extra field, in this order, for those of the plain fields that are all ones.
void read_extra(const Record& record, uint64_t at, uint64_t end, const std::array<uint64_t*, 3>& fields) {
  while (at + 4 <= end) {
    const uint64_t id = record.number(at, 2), length = record.number(at + 2, 2);
    at += 4;
    if (id == 1) {
      uint64_t place = at;
      for (uint64_t* field : fields) {
        if (*field != 0xffffffffu) continue;
        if (place + 8 > at + length) return;
        *field = record.number(place, 8);
        place += 8;
      }
      return;
    }
    at += length;
  }
}

// Where a member's bytes begin: behind its local header, whose name and extra field have lengths of their own.
void locate(const InputFile& archive, ZipMember& member, uint64_t header) {
  if (header > archive.size() || archive.size() - header < kLocalBytes) broken(archive);
  const Record local(archive, header, kLocalBytes);
  if (local.number(0, 4) != kLocalSignature) broken(archive);
  member.offset = header + kLocalBytes + local.number(26, 2) + local.number(28, 2);
  if (member.offset > archive.size() || member.packed_bytes > archive.size() - member.offset) broken(archive);
}

}  // namespace

std::vector<ZipMember> list_zip(const InputFile& archive) {
  const Directory place = find_directory(archive);
  const Record directory(archive, place.offset, place.bytes);
  std::vector<ZipMember> members;
  uint64_t packed = 0;  // of all members: what many of them share would be unpacked many times
  for (uint64_t at = 0; at + kEntryBytes <= directory.size();) {
    if (directory.number(at, 4) != kEntrySignature) broken(archive);
    const uint64_t flags = directory.number(at + 8, 2), method = directory.number(at + 10, 2);
    const uint64_t name = directory.number(at + 28, 2), extra = directory.number(at + 30, 2);
    ZipMember member;
    member.name = directory.text(at + kEntryBytes, name);
    member.crc = static_cast<uint32_t>(directory.number(at + 16, 4));
    member.packed_bytes = directory.number(at + 20, 4);
    member.bytes = directory.number(at + 24, 4);
    uint64_t header = directory.number(at + 42, 4);
    read_extra(directory, at + kEntryBytes + name, at + kEntryBytes + name + extra,
               {&member.bytes, &member.packed_bytes, &header});
    if ((flags & 1) != 0 || (method != 0 && method != 8)) {
      throw data_error(fmt::format("member '{}' is encrypted or packed by method {}", member.name, method),
                       archive.label(), "write the archive with numpy.savez or numpy.savez_compressed");
    }
    member.deflated = method == 8;
    if (!member.deflated && member.bytes != member.packed_bytes) broken(archive);
    locate(archive, member, header);
    if (member.packed_bytes > archive.size() - packed) {
      throw data_error("members of the archive overlap", archive.label(), "write it again with numpy.savez");
    }
    packed += member.packed_bytes;
    members.push_back(std::move(member));
    at += kEntryBytes + name + extra + directory.number(at + 32, 2);
  }
  return members;
}

std::shared_ptr<const InputFile> unpack(const InputFile& archive, const ZipMember& member) {
  const std::string label = fmt::format("{} ({})", archive.label(), member.name);
  const auto corrupt = [&] { return data_error("the packed data is corrupt", label, "write the archive again"); };
  if (member.bytes / kDeflateRatio > member.packed_bytes) {
    throw data_error(
        fmt::format("{} packed bytes cannot hold the {} that are claimed", member.packed_bytes, member.bytes), label);
  }
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw Error(ErrorCode::kResource, "no memory to unpack " + label);
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> guard(&stream, &inflateEnd);
  auto target = InputFile::temporary(label);
  std::vector<std::byte> in(kChunk), out(kChunk);
  uint64_t taken = 0;
  uLong crc = crc32(0, nullptr, 0);
  int state = Z_OK;
  while (state != Z_STREAM_END) {
    if (stream.avail_in == 0) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(kChunk, member.packed_bytes - taken));
      if (count == 0) throw corrupt();
      archive.read(member.offset + taken, std::span(in).first(count));
      taken += count;
      stream.next_in = reinterpret_cast<Bytef*>(in.data());
      stream.avail_in = static_cast<uInt>(count);
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(kChunk);
    state = inflate(&stream, Z_NO_FLUSH);
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) throw corrupt();
    const size_t made = kChunk - stream.avail_out;
    if (made > member.bytes - target->size()) throw corrupt();
    crc = crc32(crc, reinterpret_cast<const Bytef*>(out.data()), static_cast<uInt>(made));
    target->append(std::span(out).first(made));
  }
  if (target->size() != member.bytes || crc != member.crc) throw corrupt();
  return target;
}

}  // namespace amct
