#include "frontends/onnx/unknown_ops.h"

#include <fmt/core.h>

#include "ops/op_row.h"

namespace amct::onnx_file {
namespace {

struct Reason {
  std::string_view type;
  std::string_view text;
};

constexpr std::string_view kRandom = "random number generators are refused: results cannot be compared";
constexpr std::string_view kSequences = "sequences, maps and optionals are not computed with";
constexpr std::string_view kStrings = "strings are not computed with";

// Operators of the standard domain that stay outside, because of what they work on.
constexpr Reason kOutside[] = {
    {"Bernoulli", kRandom},
    {"Multinomial", kRandom},
    {"RandomNormal", kRandom},
    {"RandomNormalLike", kRandom},
    {"RandomUniform", kRandom},
    {"RandomUniformLike", kRandom},
    {"ConcatFromSequence", kSequences},
    {"Optional", kSequences},
    {"OptionalGetElement", kSequences},
    {"OptionalHasElement", kSequences},
    {"SequenceAt", kSequences},
    {"SequenceConstruct", kSequences},
    {"SequenceEmpty", kSequences},
    {"SequenceErase", kSequences},
    {"SequenceInsert", kSequences},
    {"SequenceLength", kSequences},
    {"SequenceMap", kSequences},
    {"SplitToSequence", kSequences},
    {"RegexFullMatch", kStrings},
    {"StringConcat", kStrings},
    {"StringNormalizer", kStrings},
    {"StringSplit", kStrings},
    {"ImageDecoder", "images as bytes are not decoded inside a network"},
};

constexpr Reason kOutsideDomains[] = {
    {"ai.onnx.ml", "operators of classical machine learning (domain ai.onnx.ml) are not computed with"},
    {"ai.onnx.training", "training-only operators are not run"},
    {"ai.onnx.preview.training", "training-only operators are not run"},
};

}  // namespace

std::string reason_unknown(std::string_view domain, std::string_view type, int64_t version) {
  if (op_table().knows(Framework::kOnnx, domain, type)) {
    return fmt::format("operator {} is not known at opset {}", type, version);
  }
  for (const Reason& outside : kOutside) {
    if (domain.empty() && outside.type == type) return std::string(outside.text);
  }
  for (const Reason& outside : kOutsideDomains) {
    if (outside.type == domain) return std::string(outside.text);
  }
  return domain.empty() ? fmt::format("operator {} is not known", type)
                        : fmt::format("operator {} of domain {} is not known", type, domain);
}

}  // namespace amct::onnx_file
