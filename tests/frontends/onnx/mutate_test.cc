#include <fmt/format.h>

#include <optional>
#include <random>

#include "frontends/onnx/load_onnx.h"
#include "frontends/onnx/model_builder.h"
#include "ir/verify.h"
#include "support/assets.h"

namespace amct::testing {
namespace {

struct Field {
  size_t start = 0, payload = 0, end = 0;
  bool delimited = false;
};

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

std::optional<uint64_t> take_varint(const std::string& bytes, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// The fields of a message; nullopt if the bytes are none.
std::optional<std::vector<Field>> fields_of(const std::string& bytes) {
  std::vector<Field> fields;
  for (size_t at = 0; at < bytes.size();) {
    Field field{at, 0, 0, false};
    const auto tag = take_varint(bytes, at);
    if (!tag || *tag >> 3 == 0) return std::nullopt;
    uint64_t length = 0;
    switch (*tag & 7) {
      case 0: length = 0; break;
      case 1: length = 8; break;
      case 5: length = 4; break;
      case 2: field.delimited = true; break;
      default: return std::nullopt;
    }
    if (field.delimited) {
      const auto given = take_varint(bytes, at);
      if (!given) return std::nullopt;
      length = *given;
    }
    field.payload = at;
    if ((*tag & 7) == 0 && !take_varint(bytes, at)) return std::nullopt;
    if (length > bytes.size() - at) return std::nullopt;
    at += length;
    field.end = at;
    fields.push_back(field);
  }
  return fields;
}

void flip(std::string& bytes, std::mt19937_64& random) {
  if (!bytes.empty()) bytes[random() % bytes.size()] ^= static_cast<char>(1u << (random() % 8));
}

std::string changed_payload(std::string payload, std::mt19937_64& random) {
  switch (random() % 5) {
    case 0: payload.resize(random() % (payload.size() + 1)); break;
    case 1: payload += payload.substr(0, 20); break;
    case 2: payload.clear(); break;
    default: flip(payload, random);
  }
  return payload;
}

// A field that is no message, or that shall change as a whole.
std::string changed_field(const std::string& whole, const Field& field, std::mt19937_64& random) {
  const std::string head = whole.substr(field.start, field.payload - field.start);
  const std::string payload = whole.substr(field.payload, field.end - field.payload);
  switch (random() % 6) {
    case 0: return {};
    case 1: return head + payload + head + payload;
    default: break;
  }
  if (!field.delimited) {
    std::string number;
    put_varint(number, random() >> (random() % 64));
    const bool varint = (static_cast<unsigned char>(head[0]) & 7) == 0;
    std::string flipped = payload;
    flip(flipped, random);
    return head + (varint ? number : flipped);
  }
  size_t at = 0;
  take_varint(head, at);
  const std::string changed = changed_payload(payload, random);
  std::string out = head.substr(0, at);
  put_varint(out, changed.size());
  return out + changed;
}

// Picks a field at random, down through the nested messages, and changes it: bits, length, number, or it goes or comes
// twice. Lengths of all messages around it are put right.
std::string mutate_field(const std::string& message, std::mt19937_64& random) {
  const auto fields = fields_of(message);
  if (!fields || fields->empty()) return changed_payload(message, random);
  const Field& field = (*fields)[random() % fields->size()];
  const std::string payload = message.substr(field.payload, field.end - field.payload);
  const bool descend = field.delimited && payload.size() > 1 && fields_of(payload) && random() % 8 != 0;
  if (!descend)
    return message.substr(0, field.start) + changed_field(message, field, random) + message.substr(field.end);
  const std::string inner = mutate_field(payload, random);
  std::string head = message.substr(field.start, field.payload - field.start);
  size_t at = 0;
  take_varint(head, at);
  head.resize(at);
  put_varint(head, inner.size());
  return message.substr(0, field.start) + head + inner + message.substr(field.end);
}

// Changes bytes anywhere: flips, cuts, insertions, copies.
std::string mutate_bytes(const std::string& bytes, std::mt19937_64& random) {
  std::string out = bytes;
  for (uint64_t i = 1 + random() % 4; i > 0; --i) {
    const size_t at = random() % (out.size() + 1);
    switch (random() % 4) {
      case 0: out.insert(at, 1, static_cast<char>(random())); break;
      case 1: out.erase(at, 1 + random() % 3); break;
      case 2: out.insert(at, out.substr(random() % out.size(), random() % 40)); break;
      default: flip(out, random);
    }
    if (out.empty()) return out;
  }
  return out;
}

// Loads the bytes; a sound graph and an error of the user's are both fine. True if it was loaded.
bool load_or_error(const std::filesystem::path& path, const std::string& bytes, const std::string& what) {
  write_bytes(path, bytes);
  try {
    const Graph graph = load_onnx(path);
    const auto faults = verify(graph);
    EXPECT_TRUE(faults.empty()) << what << ": " << faults.front();
    return true;
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << what << ": " << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << what;
  }
  return false;
}

// A model of ours with operators of many families.
std::string own_model() {
  ModelBuilder builder;
  builder.input("x", {2, 6, 5});
  auto& target = builder.constant("target", {3}, kOnnxInt64);
  for (const int64_t dim : {2, 3, 10}) target.add_int64_data(dim);
  auto& weight = builder.constant("w", {1, 3, 1});
  for (const float value : {0.5f, -1.0f, 2.0f}) weight.add_float_data(value);
  std::string raw(4 * 3 * 10, 'w');
  builder.constant("b", {3, 10}).set_raw_data(raw);
  builder.node("Relu", "relu", {"x"}, {"a"});
  builder.node("Reshape", "reshape", {"a", "target"}, {"r"});
  builder.node("Mul", "mul", {"r", "w"}, {"m"});
  builder.node("Add", "add", {"m", "b"}, {"s"});
  auto& perm = *builder.node("Transpose", "transpose", {"s"}, {"t"}).add_attribute();
  perm.set_name("perm");
  perm.set_type(7);
  for (const int64_t axis : {0, 2, 1}) perm.add_ints(axis);
  auto& axis = *builder.node("Concat", "concat", {"t", "t"}, {"c"}).add_attribute();
  axis.set_name("axis");
  axis.set_type(2);
  axis.set_i(1);
  builder.node("Shape", "shape", {"c"}, {"dims"});
  builder.node("Frobnicate", "custom", {"c"}, {"f"}).set_domain("com.example");
  auto& value = *builder.node("Constant", "", {}, {"k"}).add_attribute();
  value.set_name("value");
  value.set_type(4);
  value.mutable_t()->set_data_type(kOnnxFloat);
  value.mutable_t()->set_raw_data(std::string(4, '\0'));
  builder.node("Add", "last", {"c", "k"}, {"y"});
  for (const char* output : {"y", "dims", "f"}) builder.output(output);
  return builder.bytes();
}

void mutate_many(const std::string& bytes, int count, uint64_t seed) {
  const ScratchFolder folder;
  int loaded = 0;
  for (int i = 0; i < count; ++i) {
    std::mt19937_64 random(seed + static_cast<uint64_t>(i));
    const bool valid_around = i % 3 != 0;
    const std::string mutated = valid_around ? mutate_field(bytes, random) : mutate_bytes(bytes, random);
    const std::string what = fmt::format("seed {}", seed + static_cast<uint64_t>(i));
    SCOPED_TRACE(what);
    loaded += load_or_error(folder / "model.onnx", mutated, what) ? 1 : 0;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(loaded, 0) << "no mutated model was sound: the mutations are too coarse";
  EXPECT_LT(loaded, count) << "no mutation was noticed";
}

TEST(Mutated, OwnModelGivesAnErrorOrASoundGraph) { mutate_many(own_model(), 2000, 1000); }

TEST(Mutated, RealModelGivesAnErrorOrASoundGraph) {
  AMCT_NEEDS_ASSETS();
  mutate_many(read_bytes(assets() / "onnx" / "mnist_cntk.onnx"), 10000, 500000);
}

TEST(Mutated, FieldMutationsKeepTheOuterMessageValid) {
  const std::string bytes = own_model();
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    EXPECT_TRUE(fields_of(mutate_field(bytes, random)).has_value()) << seed;
  }
}

void truncate_everywhere(const std::string& bytes, size_t step) {
  const ScratchFolder folder;
  for (size_t length = 0; length < bytes.size(); length += step) {
    write_bytes(folder / "model.onnx", bytes.substr(0, length));
    try {
      load_onnx(folder / "model.onnx");
      FAIL() << "accepted after " << length << " of " << bytes.size() << " bytes";
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kInput) << length << ": " << error.what();
    }
  }
}

TEST(Truncated, OwnModelAtEveryByte) { truncate_everywhere(own_model(), 1); }

TEST(Truncated, RealModelsAtEvery997thByte) {
  AMCT_NEEDS_ASSETS();
  for (const char* name : {"mnist_cntk.onnx", "resnet8_cifar10.onnx", "vnn_oval21_cifar_base_kw.onnx"}) {
    SCOPED_TRACE(name);
    truncate_everywhere(read_bytes(assets() / "onnx" / name), 997);
  }
}

}  // namespace
}  // namespace amct::testing
