#include "workflow/calibration_part.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "ir/text_lexer.h"

namespace amct {
namespace {

constexpr std::string_view kMagic = "AMCTCAL\n";
constexpr size_t kHeaderBytes = 24, kHashBytes = 8;

Error bad_part(const std::string& what, const std::string& file, const std::string& hint) {
  return {ErrorCode::kInput, what, {.file = file}, hint};
}

void write_identity(const CalibrationIdentity& identity, ByteWriter& out) {
  out.text(identity.model);
  out.fixed(identity.model_hash, 8);
  out.text(identity.settings);
  out.text(identity.data);
  out.fixed(identity.names_hash, 8);
  out.fixed(identity.content_hash, 8);
  out.number(static_cast<uint64_t>(identity.asked));
  out.number(static_cast<uint64_t>(identity.samples));
  out.text(identity.isa);
}

CalibrationIdentity read_identity(ByteReader& in) {
  CalibrationIdentity identity;
  identity.model = in.text();
  identity.model_hash = in.fixed(8);
  identity.settings = in.text();
  identity.data = in.text();
  identity.names_hash = in.fixed(8);
  identity.content_hash = in.fixed(8);
  identity.asked = static_cast<int64_t>(in.number(kMostSamples));
  identity.samples = static_cast<int64_t>(in.number(kMostSamples));
  identity.isa = in.text();
  return identity;
}

std::string contents_of(const CalibrationPart& part) {
  ByteWriter out;
  out.number(part.kind == CalibrationPart::Kind::kCheckpoint ? 1 : 0);
  out.number(part.stage == CalibrationPart::Stage::kDistributions ? 1 : 0);
  write_identity(part.identity, out);
  out.number(static_cast<uint64_t>(part.shard.number));
  out.number(static_cast<uint64_t>(part.shard.count));
  out.number(static_cast<uint64_t>(part.taken.begin));
  out.number(static_cast<uint64_t>(part.taken.end));
  out.number(part.maxima.size());
  for (const auto& [name, maximum] : part.maxima) {
    out.text(name);
    maximum.write(out);
  }
  out.number(part.choice ? 1 : 0);
  if (part.choice) part.choice->write(out);
  out.number(part.tensors.size());
  for (const auto& [name, tensor] : part.tensors) {
    out.text(name);
    tensor.statistics.write(out);
    tensor.ordered.write(out);
  }
  return out.take();
}

CalibrationPart read_contents(ByteReader& in) {
  CalibrationPart part;
  part.kind = in.number(1) == 1 ? CalibrationPart::Kind::kCheckpoint : CalibrationPart::Kind::kPart;
  part.stage = in.number(1) == 1 ? CalibrationPart::Stage::kDistributions : CalibrationPart::Stage::kPreliminary;
  part.identity = read_identity(in);
  part.shard.number = static_cast<int>(in.number(static_cast<uint64_t>(Shard::kMost)));
  part.shard.count = static_cast<int>(in.number(static_cast<uint64_t>(Shard::kMost)));
  part.taken.begin = static_cast<int64_t>(in.number(static_cast<uint64_t>(part.identity.samples)));
  part.taken.end = static_cast<int64_t>(in.number(static_cast<uint64_t>(part.identity.samples)));
  if (part.shard.number < 1 || part.shard.number > part.shard.count || part.taken.size() < 0) ByteReader::fail();
  const size_t maxima = in.length(2);
  for (size_t i = 0; i < maxima; ++i) {
    std::string name = in.text();
    if (!part.maxima.emplace(std::move(name), ChannelMax::read(in)).second) ByteReader::fail();
  }
  if (in.number(1) == 1) part.choice = Choice::read(in);
  const size_t tensors = in.length(8);
  for (size_t i = 0; i < tensors; ++i) {
    std::string name = in.text();
    TensorStatistics statistics = TensorStatistics::read(in);
    if (!part.tensors.emplace(std::move(name), TensorPart{std::move(statistics), TensorBins::read(in)}).second) {
      ByteReader::fail();
    }
  }
  if (!in.at_end()) ByteReader::fail();
  return part;
}

// The first lines in which two texts differ, with the name that stands before them: "'"bits": 8' instead of '"bits": 4'
// in "conv1"".
std::string first_difference(std::string_view part, std::string_view mine) {
  const auto next = [](std::string_view& text) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return line;
  };
  constexpr size_t kShown = 80;  // characters of a line, from the word on that differs
  constexpr std::string_view kName = "\"name\": ";
  std::string where;
  while (!part.empty() || !mine.empty()) {
    const std::string_view a = next(part), b = next(mine);
    if (a != b) {
      const auto at = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
      const size_t comma = a.substr(0, at).rfind(", ");
      const size_t from = comma == std::string_view::npos ? 0 : comma + 2;
      return fmt::format("'{}' instead of '{}'{}", a.substr(from, kShown), b.substr(from, kShown), where);
    }
    if (a.starts_with(kName)) where = fmt::format(" in {}", a.substr(kName.size(), a.rfind('"') + 1 - kName.size()));
  }
  return {};
}

}  // namespace

std::string format_part(const CalibrationPart& part) {
  const std::string contents = contents_of(part);
  ByteWriter out;
  out.raw(kMagic);
  out.fixed(kCalibrationVersion, 8);
  out.fixed(contents.size(), 8);
  out.raw(contents);
  out.fixed(hash_bytes(std::as_bytes(std::span(out.bytes()))), kHashBytes);
  return out.take();
}

CalibrationPart parse_part(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) {
    throw bad_part("this is no part of a calibration", file, "'amct calibrate' writes them");
  }
  const std::string again = "calibrate this part again";
  if (bytes.size() < kHeaderBytes + kHashBytes) throw bad_part("the part is cut off", file, again);
  ByteReader header(bytes.subspan(kMagic.size(), 16));
  const uint64_t version = header.fixed(8), length = header.fixed(8);
  if (version != kCalibrationVersion) {
    throw bad_part(fmt::format("the part has version {}, this program reads {}", version, kCalibrationVersion), file,
                   "calibrate all parts and merge them with one version of amct");
  }
  const size_t there = bytes.size() - kHeaderBytes - kHashBytes;
  if (length > there) {
    throw bad_part(fmt::format("the part is cut off: it holds {} of {} bytes", there, length), file, again);
  }
  const auto hashed = bytes.first(bytes.size() - kHashBytes);
  if (length < there || ByteReader(bytes.last(kHashBytes)).fixed(kHashBytes) != hash_bytes(hashed)) {
    throw bad_part("the part is damaged: its checksum is wrong", file, again);
  }
  try {
    ByteReader reader(hashed.subspan(kHeaderBytes));
    return read_contents(reader);
  } catch (const Error& error) {
    throw error.with({.file = file});
  }
}

void write_part(const CalibrationPart& part, const std::filesystem::path& path) { write_file(path, format_part(part)); }

CalibrationPart read_part(const std::filesystem::path& path) {
  return parse_part(MappedFile::open(path)->bytes(), path.string());
}

std::string other_model(const CalibrationIdentity& part, const CalibrationIdentity& mine, const std::string& whose) {
  if (part.model_hash != mine.model_hash) {
    return fmt::format("it is of another model ('{}') than {}", part.model, whose);
  }
  if (part.settings != mine.settings) {
    return fmt::format("it was made with other settings than {}: {}", whose,
                       first_difference(part.settings, mine.settings));
  }
  return {};
}

std::string other_data(const CalibrationIdentity& part, const CalibrationIdentity& mine, const std::string& whose) {
  if (part.data != mine.data) {
    return fmt::format("its data was prepared in another way than that of {}: {}", whose,
                       first_difference(part.data, mine.data));
  }
  if (part.asked != mine.asked || part.samples != mine.samples) {
    return fmt::format("it is one of {} samples, {} of {}", part.samples, whose, mine.samples);
  }
  const bool is_other_content = part.isa == mine.isa && part.content_hash != mine.content_hash;
  if (part.names_hash != mine.names_hash || is_other_content) {
    return fmt::format("it is of other data than {}", whose);
  }
  return {};
}

}  // namespace amct
