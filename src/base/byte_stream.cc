#include "base/byte_stream.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace amct {

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::optional<uint64_t> take_varint(std::span<const std::byte>& bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < std::min(bytes.size(), kLongestVarint); ++i) {
    const auto byte = static_cast<uint64_t>(bytes[i]);
    value |= (byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    bytes = bytes.subspan(i + 1);
    return value;
  }
  return std::nullopt;
}

void ByteWriter::fixed(uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) bytes_ += static_cast<char>(value >> (8 * i));
}

void ByteWriter::real(float value) { fixed(std::bit_cast<uint32_t>(value), 4); }
void ByteWriter::real(double value) { fixed(std::bit_cast<uint64_t>(value), 8); }

void ByteWriter::text(std::string_view value) {
  number(value.size());
  bytes_ += value;
}

void ByteReader::fail() { throw Error(ErrorCode::kInput, "the contents make no sense"); }

std::span<const std::byte> ByteReader::take(size_t count) {
  if (count > bytes_.size()) fail();
  const auto taken = bytes_.first(count);
  bytes_ = bytes_.subspan(count);
  return taken;
}

uint64_t ByteReader::fixed(int bytes) {
  uint64_t value = 0;
  int shift = 0;
  for (const std::byte byte : take(static_cast<size_t>(bytes))) {
    value |= static_cast<uint64_t>(byte) << shift;
    shift += 8;
  }
  return value;
}

uint64_t ByteReader::number() {
  const auto from = bytes_;
  const auto value = take_varint(bytes_);
  const bool longest = from.size() - bytes_.size() == kLongestVarint;
  if (!value || (longest && from[kLongestVarint - 1] > std::byte{1})) fail();  // no writer of ours drops bits
  return *value;
}

uint64_t ByteReader::number(uint64_t most) {
  const uint64_t value = number();
  if (value > most) fail();
  return value;
}

size_t ByteReader::length(size_t bytes_of_an_item) {
  const uint64_t items = number();
  if (items > bytes_.size() / bytes_of_an_item) fail();
  return items;
}

float ByteReader::real() { return std::bit_cast<float>(static_cast<uint32_t>(fixed(4))); }
double ByteReader::real64() { return std::bit_cast<double>(fixed(8)); }

std::string ByteReader::text() {
  const auto bytes = take(length(1));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace amct
