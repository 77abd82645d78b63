#include "recipe/record_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "recipe/text_proto.h"

namespace amct {
namespace {

const std::vector<std::string> kFields = {
    "scale_d",     "offset_d", "scale_w",  "offset_w", "shift_bit", "tensor_balance_factor",
    "skip_fusion", "dst_type", "act_type", "wts_type", "cluster",   "scale_h",
    "offset_h",    "scale_r",  "offset_r"};
const std::vector<std::string> kActivationTypes = {"INT4", "INT8", "INT16"};
const std::vector<std::string> kWeightTypes = {"INT4", "INT6", "INT7", "INT8"};

template <typename T>
std::optional<T> number(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, value);
  return code == std::errc() && rest == end ? std::optional(value) : std::nullopt;
}

// Reads one `record { key: … value { … } }`.
class RecordReader {
 public:
  RecordReader(const std::string& file, RecordConvention convention, Faults& faults)
      : file_(file), convention_(convention), faults_(faults) {}

  LayerRecord read(const TextField& record) {
    const TextField* value = nullptr;
    const TextField* cache = nullptr;
    bool keyed = false;
    for (const TextField& field : record.fields) {
      if (field.name == "key" && field.kind == TextField::Kind::kString) {
        if (keyed) fault(field, "a second key in one record");
        keyed = true;
        record_.key = field.value;
      } else if (field.name == "value" && field.kind == TextField::Kind::kMessage) {
        if (value != nullptr) fault(field, "a second value in one record");
        value = &field;
      } else if (field.name == "kv_cache_value" && field.kind == TextField::Kind::kMessage) {
        if (cache != nullptr) fault(field, "a second kv_cache_value in one record");
        cache = &field;
      } else {
        unknown(field, {"key", "value", "kv_cache_value"});
      }
    }
    if (!keyed) fault(record, "record without a key");
    if (cache != nullptr) read_cache(*cache);
    if (value == nullptr) {
      if (cache == nullptr) fault(record, "record without a value");
    } else {
      for (const TextField& field : value->fields) read_field(field);
      check(*value);
    }
    return record_;
  }

 private:
  void fault(const TextField& at, const std::string& what, const std::string& hint = "") {
    faults_.add(Error(ErrorCode::kConfig, what,
                      {.node = record_.key, .file = file_, .line = at.line, .column = at.column}, hint));
  }

  void unknown(const TextField& field, const std::vector<std::string>& known) {
    const std::string near = closest(field.name, known);
    fault(field, fmt::format("field '{}' is unknown here or of the wrong kind", field.name),
          near.empty() || near == field.name ? "" : fmt::format("did you mean '{}'?", near));
  }

  template <typename T>
  std::optional<T> read_number(const TextField& field) {
    std::optional<T> value;
    if (field.kind == TextField::Kind::kWord) value = number<T>(field.value);
    if (!value) fault(field, fmt::format("{} is '{}', which is no number of its type", field.name, field.value));
    return value;
  }

  template <typename T>
  void set(const TextField& field, std::optional<T>& to) {
    if (to) fault(field, fmt::format("{} stands twice", field.name));
    if (const auto value = read_number<T>(field)) to = value;
  }

  template <typename T>
  void append(const TextField& field, std::vector<T>& to) {
    if (const auto value = read_number<T>(field)) to.push_back(*value);
  }

  void set_type(const TextField& field, std::string& to, const std::vector<std::string>& legal) {
    if (!to.empty()) fault(field, fmt::format("{} stands twice", field.name));
    to = field.value;
    if (field.kind != TextField::Kind::kString || std::find(legal.begin(), legal.end(), to) == legal.end()) {
      fault(field, fmt::format("{} is '{}', must be one of {}", field.name, field.value, fmt::join(legal, ", ")));
    }
  }

  void read_field(const TextField& field) {
    if (field.name == "scale_d") return set(field, record_.scale_d);
    if (field.name == "offset_d") return set(field, record_.offset_d);
    if (field.name == "scale_w") return append(field, record_.scale_w);
    if (field.name == "offset_w") return append(field, record_.offset_w);
    if (field.name == "shift_bit") return append(field, record_.shift_bit);
    if (field.name == "tensor_balance_factor") return append(field, record_.tensor_balance_factor);
    if (field.name == "cluster") return append(field, record_.cluster);
    if (field.name == "scale_h") return set(field, record_.scale_h);
    if (field.name == "offset_h") return set(field, record_.offset_h);
    if (field.name == "scale_r") return append(field, record_.scale_r);
    if (field.name == "offset_r") return append(field, record_.offset_r);
    if (field.name == "dst_type") return set_type(field, record_.dst_type, kActivationTypes);
    if (field.name == "act_type") return set_type(field, record_.act_type, kActivationTypes);
    if (field.name == "wts_type") return set_type(field, record_.wts_type, kWeightTypes);
    if (field.name != "skip_fusion") return unknown(field, kFields);
    if (field.value != "true" && field.value != "false") fault(field, "skip_fusion must be true or false");
    record_.skip_fusion = field.value == "true";
  }

  void read_cache(const TextField& cache) {
    for (const TextField& field : cache.fields) {
      if (field.name == "scale") {
        append(field, record_.kv_scale);
      } else if (field.name == "offset") {
        append(field, record_.kv_offset);
      } else {
        unknown(field, {"scale", "offset"});
      }
    }
    for (const float scale : record_.kv_scale) check_range(cache, "scale", scale);
    for (const int32_t offset : record_.kv_offset) {
      if (offset < -128 || offset > 127) fault(cache, fmt::format("offset is {}, must be in [-128, 127]", offset));
    }
    if (record_.kv_scale.empty()) fault(cache, "kv_cache_value without a scale");
    if (record_.kv_scale.size() != record_.kv_offset.size()) fault(cache, "scale and offset differ in length");
  }

  void check_range(const TextField& at, const char* name, float value) {
    if (!(value > 0) || !std::isfinite(value)) fault(at, fmt::format("{} is {}, must be above 0", name, value));
  }

  void check_offset(const TextField& at, const char* name, std::optional<int32_t>& offset, int32_t limit) {
    if (!offset) return;
    const bool unsigned_values = convention_ == RecordConvention::kUInt8;
    const int32_t least = unsigned_values ? 1 - 2 * limit : -limit, greatest = unsigned_values ? 0 : limit - 1;
    if (*offset < least || *offset > greatest) {
      fault(at, fmt::format("{} is {}, must be in [{}, {}]", name, *offset, least, greatest));
    }
    if (unsigned_values) offset = -*offset - limit;
  }

  // Of a recurrent layer: all fields of the state or none.
  void check_state(const TextField& at, int32_t limit) {
    if (!record_.scale_h && !record_.offset_h && record_.scale_r.empty() && record_.offset_r.empty()) return;
    if (!record_.scale_h || !record_.offset_h || record_.scale_r.empty()) {
      fault(at, "scale_h, offset_h, scale_r and offset_r belong together");
    }
    if (record_.scale_h) check_range(at, "scale_h", *record_.scale_h);
    for (const float scale : record_.scale_r) check_range(at, "scale_r", scale);
    check_offset(at, "offset_h", record_.offset_h, limit);
    if (record_.offset_r.size() != record_.scale_r.size()) fault(at, "scale_r and offset_r differ in length");
    if (std::ranges::any_of(record_.offset_r, [](int32_t offset) { return offset != 0; })) {
      fault(at, "offset_r must be 0");
    }
  }

  // Spec E.2, as far as it can be known without the model.
  void check(const TextField& at) {
    if (record_.scale_d.has_value() != record_.offset_d.has_value()) fault(at, "scale_d and offset_d belong together");
    if (record_.scale_d) check_range(at, "scale_d", *record_.scale_d);
    for (const float scale : record_.scale_w) check_range(at, "scale_w", scale);
    const std::string& type = record_.dst_type.empty() ? record_.act_type : record_.dst_type;
    const int32_t limit = type == "INT16" ? 32768 : 128;
    check_offset(at, "offset_d", record_.offset_d, limit);
    check_state(at, limit);
    if (record_.offset_w.size() != record_.scale_w.size()) fault(at, "scale_w and offset_w differ in length");
    if (std::any_of(record_.offset_w.begin(), record_.offset_w.end(), [](int32_t offset) { return offset != 0; })) {
      fault(at, "offset_w must be 0");
    }
    const auto& shifts = record_.shift_bit;
    if (!shifts.empty() && shifts.size() != record_.scale_w.size()) fault(at, "scale_w and shift_bit differ in length");
    const auto zeros = std::count(shifts.begin(), shifts.end(), 0u);
    if ((zeros != 0 && zeros != static_cast<ptrdiff_t>(shifts.size())) ||
        std::any_of(shifts.begin(), shifts.end(), [](uint32_t shift) { return shift > 16; })) {
      fault(at, "shift_bit must be all 0 or all in [1, 16]");
    }
    if (!record_.cluster.empty() && record_.cluster.size() != 16 && record_.cluster.size() != 32) {
      fault(at, fmt::format("cluster has {} values, must have 16 or 32", record_.cluster.size()));
    }
    for (const int32_t value : record_.cluster) {
      if (value < -128 || value > 127) fault(at, fmt::format("cluster {} must be in [-128, 127]", value));
    }
    constexpr float kLeast = std::numeric_limits<float>::epsilon();
    for (const float factor : record_.tensor_balance_factor) {
      if (!(factor >= kLeast && factor <= 1 / kLeast))
        fault(at, fmt::format("tensor_balance_factor {} is out of range", factor));
    }
  }

  const std::string& file_;
  RecordConvention convention_;
  Faults& faults_;
  LayerRecord record_;
};

std::string format_cache(const LayerRecord& record) {
  std::string text = "  kv_cache_value {\n";
  for (const float scale : record.kv_scale) text += fmt::format("    scale: {}\n", format_float(scale));
  for (const int32_t offset : record.kv_offset) text += fmt::format("    offset: {}\n", offset);
  return text + "  }\n";
}

// False for a record that holds nothing but the factors of a KV cache.
bool has_value(const LayerRecord& record) {
  LayerRecord cache_only{.key = record.key};
  cache_only.kv_scale = record.kv_scale;
  cache_only.kv_offset = record.kv_offset;
  return record.kv_scale.empty() || !(record == cache_only);
}

}  // namespace

std::vector<LayerRecord> records_of(const Plan& plan) {
  std::vector<LayerRecord> records;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.activation.factor) continue;
    LayerRecord record;
    record.key = layer.name;
    record.scale_d = layer.activation.factor->scale;
    record.offset_d = layer.activation.factor->offset;
    record.scale_w = layer.weight ? layer.weight->scales : std::vector<float>{1.0f};
    if (layer.second) record.scale_w = {layer.second->factor->scale};
    record.offset_w.assign(record.scale_w.size(), 0);
    record.shift_bit.assign(layer.shifts.begin(), layer.shifts.end());
    record.tensor_balance_factor = layer.balance_factors;
    record.act_type = integer_type_name(layer.activation.bits);
    if (layer.weight) record.cluster.assign(layer.weight->clusters.begin(), layer.weight->clusters.end());
    if (layer.hidden && layer.hidden->activation.factor) {
      record.scale_h = layer.hidden->activation.factor->scale;
      record.offset_h = layer.hidden->activation.factor->offset;
      record.scale_r = layer.hidden->weight.scales;
      record.offset_r.assign(record.scale_r.size(), 0);
    }
    if (layer.weight) record.wts_type = integer_type_name(layer.weight->bits);
    records.push_back(std::move(record));
  }
  for (const TensorPlan& tensor : plan.tensors) {
    if (!tensor.activation.factor) continue;
    for (const InputUse& use : tensor.uses) {
      records.push_back({.key = fmt::format("{}:{}", use.node, use.input),
                         .scale_d = tensor.activation.factor->scale,
                         .offset_d = tensor.activation.factor->offset,
                         .act_type = integer_type_name(tensor.activation.bits)});
    }
  }
  return records;
}

std::string format_records(const std::vector<LayerRecord>& records) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("    {}: {}\n", name, value);
  };
  for (const LayerRecord& record : records) {
    text += fmt::format("record {{\n  key: {}\n", quote_text_proto(record.key));
    if (!record.kv_scale.empty()) text += format_cache(record);
    if (!has_value(record)) {
      text += "}\n";
      continue;
    }
    text += "  value {\n";
    if (record.scale_d) line("scale_d", format_float(*record.scale_d));
    if (record.offset_d) line("offset_d", fmt::to_string(*record.offset_d));
    for (const float scale : record.scale_w) line("scale_w", format_float(scale));
    for (const int32_t offset : record.offset_w) line("offset_w", fmt::to_string(offset));
    for (const uint32_t shift : record.shift_bit) line("shift_bit", fmt::to_string(shift));
    if (record.skip_fusion) line("skip_fusion", *record.skip_fusion ? "true" : "false");
    if (!record.dst_type.empty()) line("dst_type", quote_text_proto(record.dst_type));
    for (const float factor : record.tensor_balance_factor) line("tensor_balance_factor", format_float(factor));
    for (const int32_t value : record.cluster) line("cluster", fmt::to_string(value));
    if (!record.act_type.empty()) line("act_type", quote_text_proto(record.act_type));
    if (!record.wts_type.empty()) line("wts_type", quote_text_proto(record.wts_type));
    if (record.scale_h) line("scale_h", format_float(*record.scale_h));
    if (record.offset_h) line("offset_h", fmt::to_string(*record.offset_h));
    for (const float scale : record.scale_r) line("scale_r", format_float(scale));
    for (const int32_t offset : record.offset_r) line("offset_r", fmt::to_string(offset));
    text += "  }\n}\n";
  }
  return text;
}

std::vector<LayerRecord> parse_records(std::string_view text, const std::string& file, RecordConvention convention) {
  Faults faults;
  std::vector<LayerRecord> records;
  std::set<std::string> keys;
  for (const TextField& field : parse_text_proto(text, file)) {
    if (field.name != "record" || field.kind != TextField::Kind::kMessage) {
      faults.add(Error(ErrorCode::kConfig, fmt::format("'{}' is not a record", field.name),
                       {.file = file, .line = field.line, .column = field.column}));
      continue;
    }
    records.push_back(RecordReader(file, convention, faults).read(field));
    if (!keys.insert(records.back().key).second) {
      faults.add(Error(ErrorCode::kConfig, fmt::format("a second record of '{}'", records.back().key),
                       {.file = file, .line = field.line, .column = field.column}));
    }
  }
  faults.throw_if_any();
  return records;
}

}  // namespace amct
