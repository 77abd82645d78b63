// A bounds-checked walk over the bytes of an ONNX file, before protobuf sees them.
//
// Weights make up nearly all of a file. The walk copies everything but the large `raw_data` fields of initializers and
// of Constant nodes' tensors, in the main graph and in subgraphs, into a small `skeleton`, which protobuf parses; a
// tensor whose payload was left out carries the payload's number instead, and the payload stays where it lies in the
// mapped file. Where nodes and the like begin and end is noted, so that they can be kept byte for byte.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace amct::onnx_file {

using Bytes = std::span<const std::byte>;

struct WireScan {
  std::string skeleton;            // a serialized ModelProto without the large payloads
  std::vector<Bytes> payloads;     // in place, by TensorProto.mapped_payload
  std::vector<Bytes> nodes;        // NodeProto bytes of the main graph, in file order
  std::vector<Bytes> kept_fields;  // top-level fields with their tags: training, device configurations
  bool has_graph = false;
};

// Payloads shorter than this are left to protobuf.
inline constexpr size_t kMinPayload = 128;

// Nodes, tensors, inputs and the like of the main graph. An empty one takes two bytes in the file, but hundreds in
// memory.
inline constexpr size_t kMaxGraphParts = 8'000'000;

// Throws Error(kInput) that says at which byte the file breaks off or is damaged, Error(kUnsupported) if it has more
// parts than that. Spans point into `file`.
WireScan scan_model(Bytes file);

}  // namespace amct::onnx_file
