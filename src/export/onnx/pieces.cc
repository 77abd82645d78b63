#include "export/onnx/pieces.h"

#include <fmt/format.h>
#include <google/protobuf/message_lite.h>

#include <bit>
#include <limits>

#include "base/error.h"

#include "base/byte_stream.h"

namespace amct::onnx_file {
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX stores little-endian elements");

constexpr uint32_t kDelimited = 2;
constexpr uint64_t kSmallPayload = 4096;  // is copied rather than kept aside

void append_header(std::string& out, uint32_t number, uint64_t length) {
  append_varint(out, (uint64_t{number} << 3) | kDelimited);
  append_varint(out, length);
}

}  // namespace

void check_message_size(uint64_t bytes) {
  if (bytes <= uint64_t{std::numeric_limits<int32_t>::max()}) return;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("it takes {} bytes, its subgraphs included; a node of an ONNX file may have 2 GB", bytes), {},
              "let its subgraphs take large constants from the graph around them");
}

void serialize(const google::protobuf::MessageLite& message, std::string& bytes) {
  check_message_size(message.ByteSizeLong());
  AMCT_CHECK(message.SerializeToString(&bytes), "a message of less than 2 GB can be written");
}

uint64_t payload_bytes(const Tensor& tensor) {
  const uint64_t bytes = tensor.byte_size();
  return bit_width(tensor.dtype()) == 4 ? (bytes + 1) / 2 : bytes;
}

std::string pack_payload(const Tensor& whole) {
  const Tensor tensor = whole.is_deferred() ? whole.resident() : whole;
  const auto bytes = tensor.bytes();
  if (bit_width(tensor.dtype()) != 4) return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  std::string packed((bytes.size() + 1) / 2, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto nibble = static_cast<unsigned>(bytes[i]) & 0xfu;
    packed[i / 2] = static_cast<char>(static_cast<unsigned char>(packed[i / 2]) | nibble << (i % 2 == 0 ? 0 : 4));
  }
  return packed;
}

void write_payload(const Tensor& tensor, OutputFiles::Writer& out) {
  if (bit_width(tensor.dtype()) == 4) {
    out.write(pack_payload(tensor));
  } else {
    out.write((tensor.is_deferred() ? tensor.resident() : tensor).bytes());
  }
}

void Pieces::add_bytes(std::string_view bytes) {
  if (pieces_.empty() || pieces_.back().payload) pieces_.emplace_back();
  pieces_.back().bytes += bytes;
  size_ += bytes.size();
}

void append_field(std::string& out, uint32_t number, std::string_view bytes) {
  append_header(out, number, bytes.size());
  out += bytes;
}

void Pieces::add_header(uint32_t number, uint64_t length) {
  std::string header;
  append_header(header, number, length);
  add_bytes(header);
}

void Pieces::add_field(uint32_t number, std::string_view bytes) {
  add_header(number, bytes.size());
  add_bytes(bytes);
}

void Pieces::add_payload_field(uint32_t number, const Tensor& tensor) {
  const uint64_t length = payload_bytes(tensor);
  add_header(number, length);
  if (length <= kSmallPayload) return add_bytes(pack_payload(tensor));
  pieces_.push_back({{}, tensor});
  size_ += length;
}

void Pieces::add_message(uint32_t number, std::string_view head, uint32_t payload_number, const Tensor& payload) {
  const uint64_t length = payload_bytes(payload);
  std::string header;
  append_header(header, payload_number, length);
  add_header(number, head.size() + header.size() + length);
  add_bytes(head);
  add_payload_field(payload_number, payload);
}

void Pieces::add_message(uint32_t number, Pieces message) {
  add_header(number, message.size_);
  size_ += message.size_;
  for (Piece& piece : message.pieces_) pieces_.push_back(std::move(piece));
}

void Pieces::write(OutputFiles::Writer& out) const {
  for (const Piece& piece : pieces_) {
    if (piece.payload) {
      write_payload(piece.payload, out);
    } else {
      out.write(piece.bytes);
    }
  }
}

}  // namespace amct::onnx_file
