// The part of a calibration: what is read merges with itself, gives factors, is written and reads back as the same
// bytes. Length and checksum are made right, so that mutants reach what stands behind it.
#include "base/byte_stream.h"
#include "fuzz/fuzz_input.h"
#include "ir/text_lexer.h"
#include "passes/quantize/clip_search.h"
#include "workflow/calibration_part.h"

using namespace amct;

namespace {

constexpr size_t kLengthAt = 16, kContentsAt = 24, kHashBytes = 8;

// The same contents with the length and the checksum that belong to them.
std::string made_right(std::string_view bytes) {
  ByteWriter out;
  if (bytes.size() >= kContentsAt + kHashBytes) {
    const std::string_view contents = bytes.substr(kContentsAt, bytes.size() - kContentsAt - kHashBytes);
    out.raw(bytes.substr(0, kLengthAt));
    out.fixed(contents.size(), kContentsAt - kLengthAt);
    out.raw(contents);
  } else {
    out.raw(bytes);
  }
  out.fixed(hash_bytes(std::as_bytes(std::span(out.bytes()))), kHashBytes);
  return out.take();
}

CalibrationPart read(const std::string& bytes) { return parse_part(std::as_bytes(std::span(bytes)), "part.cal"); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = made_right(fuzz::text_of(data, size));
  fuzz::accepts([&] {
    CalibrationPart part = read(bytes);
    const std::string written = format_part(part);
    std::string again;
    fuzz::check(fuzz::accepts([&] { again = format_part(read(written)); }), "what was written is refused");
    fuzz::check(again == written, "what was written reads as something else");
    for (auto& [name, tensor] : part.tensors) {
      tensor.statistics.merge(read(bytes).tensors.at(name).statistics);
      const EqualBins* ordered = tensor.ordered.find(1024);
      const Distribution distribution = tensor.statistics.distribution();
      for (const auto method : {ClipSearch::Method::kIfmr, ClipSearch::Method::kMse, ClipSearch::Method::kHfmg}) {
        ActivationPlan plan;
        plan.search.method = method;
        plan.search.bins = 1024;
        fuzz::accepts([&] { choose_factor(distribution, plan, {}, ordered); });
      }
    }
  });
  return 0;
}
