#include "base/byte_stream.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace amct {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(ByteStream, ReadsWhatItWrote) {
  ByteWriter writer;
  const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, uint64_t{1} << 63, std::numeric_limits<uint64_t>::max()};
  for (const uint64_t value : numbers) writer.number(value);
  writer.fixed(0x0123456789abcdef, 8);
  writer.fixed(0xfedc, 2);
  writer.real(-0.1f);
  writer.real(1e-310);
  writer.text(std::string("a\0b", 3));
  writer.text(std::string(300, 'x'));
  ByteReader reader(bytes_of(writer.bytes()));
  for (const uint64_t value : numbers) EXPECT_EQ(reader.number(), value);
  EXPECT_EQ(reader.fixed(8), 0x0123456789abcdefu);
  EXPECT_EQ(reader.fixed(2), 0xfedcu);
  EXPECT_EQ(reader.real(), -0.1f);
  EXPECT_EQ(reader.real64(), 1e-310);
  EXPECT_EQ(reader.text(), std::string("a\0b", 3));
  EXPECT_EQ(reader.text(), std::string(300, 'x'));
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(writer.bytes().substr(0, 3), std::string("\x00\x01\x7f", 3));
}

TEST(ByteStream, RefusesEveryCutOfARecord) {
  ByteWriter writer;
  writer.number(300);
  writer.text("seven b");
  writer.real(2.0f);
  for (size_t size = 0; size < writer.bytes().size(); ++size) {
    const std::string cut = writer.bytes().substr(0, size);
    ByteReader reader(bytes_of(cut));
    const auto read_all = [&] {
      reader.number();
      reader.text();
      reader.real();
    };
    EXPECT_THROW(read_all(), Error) << size;
  }
}

TEST(ByteStream, RefusesLengthsBeyondTheBytesAndNumbersBeyond64Bits) {
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
  EXPECT_THROW(ByteReader(bytes_of(huge)).length(1), Error);
  EXPECT_THROW(ByteReader(bytes_of(huge)).text(), Error);
  const std::string four =
      "\x04"
      "abcdefg";
  EXPECT_EQ(ByteReader(bytes_of(four)).length(1), 4u);
  EXPECT_THROW(ByteReader(bytes_of(four)).length(2), Error);
  EXPECT_THROW(ByteReader(bytes_of(four)).number(3), Error);
  const std::string beyond = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
  EXPECT_THROW(ByteReader(bytes_of(beyond)).number(), Error);
  const std::string longer = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
  EXPECT_THROW(ByteReader(bytes_of(longer)).number(), Error);
}

TEST(Varint, TakenOffTheFrontAsProtobufReadsIt) {
  const std::string bytes = "\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7fz";  // 300; a last byte of 7 bits; another
  auto left = bytes_of(bytes);
  EXPECT_EQ(take_varint(left), 300u);
  EXPECT_EQ(take_varint(left), std::numeric_limits<uint64_t>::max());
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(take_varint(left), uint64_t{'z'});
  EXPECT_EQ(take_varint(left), std::nullopt);
}

TEST(Varint, WithoutAnEndNothingIsTaken) {
  for (size_t size = 0; size <= 2 * kLongestVarint; ++size) {
    const std::string bytes(size, '\x80');
    auto left = bytes_of(bytes);
    EXPECT_EQ(take_varint(left), std::nullopt) << size;
    EXPECT_EQ(left.size(), size);
  }
  const std::string late = std::string(kLongestVarint, '\x80') + '\1', last = late.substr(1);
  auto left = bytes_of(late);
  EXPECT_EQ(take_varint(left), std::nullopt);
  left = bytes_of(last);
  EXPECT_EQ(take_varint(left), uint64_t{1} << 63);
}

}  // namespace
}  // namespace amct
