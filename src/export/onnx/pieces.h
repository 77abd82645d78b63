// A serialized message in the making: bytes that are at hand, and tensor payloads that are fetched when it is written.
//
// A message of protobuf holds its content, and serializing it makes a second copy: a model would be in memory three
// times, weights that are made only when they are asked for included. Here payloads are tensors until the moment that
// they are written, one at a time. A field's length stands before its content, so that sizes are added up on the way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "ir/tensor.h"

namespace google::protobuf {
class MessageLite;
}

namespace amct::onnx_file {

// Throws Error(kUnsupported) for a message of more bytes than protobuf writes or reads at once, 2 GB: what is encoded
// as a whole, and in nodes the constants of subgraphs. Those of the model itself are pieces, and know no such limit.
void check_message_size(uint64_t bytes);
// Replaces `bytes` by the message; such an error where it is too long.
void serialize(const google::protobuf::MessageLite& message, std::string& bytes);

// Bytes of the payload as a file stores it: elements in order, two of four bits to a byte (low nibble first).
uint64_t payload_bytes(const Tensor& tensor);
std::string pack_payload(const Tensor& tensor);
void write_payload(const Tensor& tensor, OutputFiles::Writer& out);

void append_field(std::string& out, uint32_t number, std::string_view bytes);  // a delimited field

class Pieces {
 public:
  void add_bytes(std::string_view bytes);
  void add_field(uint32_t number, std::string_view bytes);        // a delimited field
  void add_payload_field(uint32_t number, const Tensor& tensor);  // the same, from a tensor's payload
  // A message of `head` and, as its last field, the payload.
  void add_message(uint32_t number, std::string_view head, uint32_t payload_number, const Tensor& payload);
  void add_message(uint32_t number, Pieces message);
  uint64_t size() const { return size_; }
  void write(OutputFiles::Writer& out) const;

 private:
  struct Piece {
    std::string bytes;
    Tensor payload;  // if set, instead of bytes
  };
  void add_header(uint32_t number, uint64_t length);

  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

}  // namespace amct::onnx_file
