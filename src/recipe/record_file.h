// The record file: scales and offsets of every quantized layer as a protobuf text file, in the layout that AMCT's tools
// exchange (docs/formats/record.md, spec E.2). Every field that is set is written, zeros too; floats are the shortest
// decimals that restore the float32.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"

namespace amct {

// The factors of one layer. Empty lists, absent numbers and empty strings are not written.
struct LayerRecord {
  std::string key;  // layer key, or "node:input" of a single input
  std::optional<float> scale_d;
  std::optional<int32_t> offset_d;
  // One, or one per output channel; 1 for a pool; the second input's of a product of two activations.
  std::vector<float> scale_w;
  std::vector<int32_t> offset_w;  // zeros, as many as scales
  std::vector<uint32_t> shift_bit;
  std::optional<float> scale_h;  // of recurrent layers: their state and its weight
  std::optional<int32_t> offset_h;
  std::vector<float> scale_r;
  std::vector<int32_t> offset_r;
  std::vector<float> kv_scale;  // of a KV cache: one, or one per channel
  std::vector<int32_t> kv_offset;
  std::vector<float> tensor_balance_factor;  // one per input channel
  std::vector<int32_t> cluster;              // 16 or 32 integers of [-128, 127]: the values of non-uniform weights
  std::optional<bool> skip_fusion;
  std::string dst_type;  // sets both types below
  std::string act_type;  // "INT4", "INT8" or "INT16"
  std::string wts_type;  // "INT4", "INT6", "INT7" or "INT8"
  bool operator==(const LayerRecord&) const = default;
};

// Records of the quantized layers of a calibrated plan, in its order, then of the other inputs that every form
// quantizes, with the key "node:input".
std::vector<LayerRecord> records_of(const Plan& plan);

std::string format_records(const std::vector<LayerRecord>& records);

// How the offsets of a record are meant.
enum class RecordConvention {
  kInt8,   // x ~ scale (q - offset), q in [-128, 127]
  kUInt8,  // q = round(x / scale) - offset in [0, 255], of AMCT's first TensorFlow release: read as -offset - 128
};

// Reads strictly: unknown and repeated fields, wrong types, values out of range (spec E.2), repeated keys. Throws
// ErrorList of Error(kConfig) with all faults, each with its line and column in `file`.
std::vector<LayerRecord> parse_records(std::string_view text, const std::string& file,
                                       RecordConvention convention = RecordConvention::kInt8);

}  // namespace amct
