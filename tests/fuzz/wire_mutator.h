// Mutations of serialized protobuf messages that stay well-formed: without them nearly every mutant of a model breaks
// at the first length and says nothing about what lies behind the parser.
//
// A message is a list of fields. One field is dropped, doubled, exchanged with another, replaced by one that was met at
// the same place of another input, or changed inside (as a message if its bytes are one, else as bytes); the lengths of
// all messages around it follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace amct::fuzz {

class WireMutator {
 public:
  // Other inputs are remembered from call to call.
  std::string mutate(std::string_view message, size_t max_size, uint32_t seed) {
    random_.seed(seed);
    max_size_ = max_size;
    return mutate_message(message, 0, 0);
  }

 private:
  struct Field {
    uint64_t number = 0;
    uint32_t type = 0;
    std::string payload;  // of a delimited field without its length; else as stored
  };
  static constexpr int kMaxDepth = 12;
  static constexpr size_t kRemembered = 64;

  size_t below(size_t count) { return random_() % count; }

  static std::optional<uint64_t> varint(std::string_view& bytes) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes.front());
      bytes.remove_prefix(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return std::nullopt;
  }

  static void put_varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
  }

  static std::optional<std::vector<Field>> parse(std::string_view bytes) {
    std::vector<Field> fields;
    while (!bytes.empty()) {
      const auto tag = varint(bytes);
      if (!tag || *tag >> 3 == 0) return std::nullopt;
      Field field{*tag >> 3, static_cast<uint32_t>(*tag & 7), {}};
      const std::string_view start = bytes;
      uint64_t length = field.type == 1 ? 8 : 4;
      if (field.type == 0 || field.type == 2) {
        const auto number = varint(bytes);
        if (!number) return std::nullopt;
        length = field.type == 2 ? *number : 0;
      } else if (field.type != 1 && field.type != 5) {
        return std::nullopt;
      }
      if (length > bytes.size()) return std::nullopt;
      field.payload = field.type == 0 ? start.substr(0, start.size() - bytes.size()) : bytes.substr(0, length);
      bytes.remove_prefix(length);
      fields.push_back(std::move(field));
    }
    return fields;
  }

  static std::string print(const std::vector<Field>& fields) {
    std::string out;
    for (const Field& field : fields) {
      put_varint(out, field.number << 3 | field.type);
      if (field.type == 2) put_varint(out, field.payload.size());
      out += field.payload;
    }
    return out;
  }

  std::string mutate_bytes(std::string bytes) {
    const size_t room = bytes.size() + 64 < max_size_ ? bytes.size() + 64 : bytes.size() + 1;
    const size_t size = bytes.size();
    bytes.resize(room);
    bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, room));
    return bytes;
  }

  void mutate_number(std::string& payload) {
    static constexpr int64_t kInteresting[] = {0,   1,    2,       -1,        -2,        3,         4,
                                               7,   8,    16,      64,        127,       128,       255,
                                               256, 1024, 1 << 20, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    std::string_view bytes = payload;
    auto value = static_cast<int64_t>(varint(bytes).value_or(0));
    switch (below(4)) {
      case 0: value = kInteresting[below(std::size(kInteresting))]; break;
      case 1: value = static_cast<int64_t>(below(24)); break;
      case 2: value = static_cast<int64_t>(static_cast<uint64_t>(value) + 1); break;
      default: value = static_cast<int64_t>(static_cast<uint64_t>(value) - 1);
    }
    payload.clear();
    put_varint(payload, static_cast<uint64_t>(value));
  }

  std::string mutate_message(std::string_view message, uint64_t place, int depth) {
    auto fields = parse(message);
    if (!fields || fields->empty() || depth > kMaxDepth) return mutate_bytes(std::string(message));
    remember(*fields, place);
    const size_t at = below(fields->size());
    Field& field = (*fields)[at];
    const size_t choice = below(20);
    if (choice < 14) {
      change(field, place, depth);
    } else if (choice < 16) {
      fields->erase(fields->begin() + static_cast<ptrdiff_t>(at));
    } else if (choice == 16) {
      fields->insert(fields->begin() + static_cast<ptrdiff_t>(below(fields->size() + 1)), Field(field));
    } else if (choice == 17) {
      std::swap(field, (*fields)[below(fields->size())]);
    } else {
      const auto& others = met_[place];
      const Field& other = others[below(others.size())];
      if (choice == 18) {
        field = Field(other);
      } else {
        fields->insert(fields->begin() + static_cast<ptrdiff_t>(at), Field(other));
      }
    }
    return print(*fields);
  }

  void change(Field& field, uint64_t place, int depth) {
    if (field.type == 0) {
      mutate_number(field.payload);
    } else if (field.type == 2) {
      field.payload = mutate_message(field.payload, place * 131 + field.number, depth + 1);
    } else {
      const size_t size = field.payload.size();
      LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(field.payload.data()), size, size);
    }
  }

  void remember(const std::vector<Field>& fields, uint64_t place) {
    auto& met = met_[place];
    const Field& field = fields[below(fields.size())];
    if (met.size() < kRemembered) {
      met.push_back(field);
    } else {
      met[below(kRemembered)] = field;
    }
  }

  std::minstd_rand random_;
  size_t max_size_ = 0;
  std::map<uint64_t, std::vector<Field>> met_;  // by place: the numbers of the fields that lead there, hashed
};

}  // namespace amct::fuzz
