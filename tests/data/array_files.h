// Array files for tests, put together by hand from the formats' descriptions.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>

namespace amct {

// A .npy file with this header dictionary.
inline std::string npy(const std::string& dictionary, const std::string& data, int version = 1) {
  std::string header = dictionary + "\n";
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) file += static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

// A zip archive of one member, stored or deflated, that claims `claimed` bytes (default: the truth).
inline std::string zip(const std::string& name, const std::string& data, bool deflate, int64_t claimed = -1) {
  std::string packed = data;
  if (deflate) {
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    packed.resize(deflateBound(&stream, data.size()));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    ::deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
  }
  const auto number = [](uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(i < 8 ? value >> (8 * i) : 0);
    return text;
  };
  const uint64_t bytes = claimed >= 0 ? static_cast<uint64_t>(claimed) : data.size();
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
  const std::string common = number(20, 2) + number(0, 2) + number(deflate ? 8 : 0, 2) + number(0, 4) + number(crc, 4) +
                             number(packed.size(), 4) + number(bytes, 4) + number(name.size(), 2) + number(0, 2);
  const std::string local = number(0x04034b50, 4) + common + name + packed;
  const std::string entry = number(0x02014b50, 4) + number(20, 2) + common + number(0, 10) + number(0, 4) + name;
  return local + entry + number(0x06054b50, 4) + number(0, 4) + number(1, 2) + number(1, 2) + number(entry.size(), 4) +
         number(local.size(), 4) + number(0, 2);
}

}  // namespace amct
