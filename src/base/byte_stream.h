// Binary records of our own: numbers in little-endian order, small ones in fewer bytes, lists with their length before
// them. The reader believes nothing: every length is held against the bytes that are left before memory is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace amct {

// 7 bits a byte, lowest first; the top bit says that more follow. (Protobuf's form of integers, too.)
void append_varint(std::string& out, uint64_t value);
constexpr size_t kLongestVarint = 10;  // bytes

// Takes a number off the front. Nothing, and `bytes` as they were, where they end within it or no end comes within
// kLongestVarint bytes. Bits beyond the 64th are dropped, as protobuf does.
std::optional<uint64_t> take_varint(std::span<const std::byte>& bytes);

class ByteWriter {
 public:
  void fixed(uint64_t value, int bytes);  // the lowest `bytes` bytes
  void number(uint64_t value) { append_varint(bytes_, value); }
  void real(float value);  // its bit pattern
  void real(double value);
  void text(std::string_view value);  // length, bytes
  void raw(std::string_view value) { bytes_ += value; }

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Every function throws Error(kInput) where the bytes end too early or hold what the writer cannot have written.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t fixed(int bytes);
  uint64_t number();
  uint64_t number(uint64_t most);          // at most this
  size_t length(size_t bytes_of_an_item);  // of a list whose items take at least so many bytes
  float real();
  double real64();
  std::string text();
  bool at_end() const { return bytes_.empty(); }

  [[noreturn]] static void fail();

 private:
  std::span<const std::byte> take(size_t count);
  std::span<const std::byte> bytes_;
};

}  // namespace amct
