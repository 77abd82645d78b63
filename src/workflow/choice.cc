#include "workflow/choice.h"

#include <cmath>
#include <limits>

namespace amct {
namespace {

double finite(double value) {
  if (!std::isfinite(value)) ByteReader::fail();
  return value;
}

void write_outcome(const NuqOutcome& nuq, ByteWriter& out) {
  out.text(nuq.metric);
  out.real(nuq.uniform);
  out.real(nuq.mixed);
  out.number(nuq.candidates);
  out.number(nuq.reverted.size());
  for (const std::string& layer : nuq.reverted) out.text(layer);
  out.number(static_cast<uint64_t>(nuq.evaluations));
}

NuqOutcome read_outcome(ByteReader& in) {
  NuqOutcome nuq;
  nuq.metric = in.text();
  nuq.uniform = finite(in.real64());
  nuq.mixed = finite(in.real64());
  nuq.candidates = in.number(std::numeric_limits<int>::max());
  const size_t reverted = in.length(1);
  for (size_t i = 0; i < reverted; ++i) nuq.reverted.push_back(in.text());
  nuq.evaluations = static_cast<int>(in.number(std::numeric_limits<int>::max()));
  return nuq;
}

}  // namespace

void Choice::write(ByteWriter& out) const {
  out.number(strengths.size());
  for (const auto& [layer, strength] : strengths) {
    out.text(layer);
    out.real(strength.value_or(0));
  }
  out.number(energies.size());
  for (const auto& [layer, energy] : energies) {
    out.text(layer);
    out.number(energy.size());
    for (const float channel : energy) out.real(channel);
  }
  out.number(nuq ? 1 : 0);
  if (nuq) write_outcome(*nuq, out);
}

Choice Choice::read(ByteReader& in) {
  Choice choice;
  const size_t layers = in.length(9);
  for (size_t i = 0; i < layers; ++i) {
    std::string layer = in.text();
    const double strength = finite(in.real64());
    if (strength < 0 || strength > 1) ByteReader::fail();
    if (!choice.strengths.emplace(std::move(layer), strength > 0 ? std::optional(strength) : std::nullopt).second) {
      ByteReader::fail();
    }
  }
  const size_t weighted = in.length(2);
  for (size_t i = 0; i < weighted; ++i) {
    std::string layer = in.text();
    std::vector<float> energy(in.length(4));
    for (float& channel : energy) {
      channel = static_cast<float>(finite(in.real()));
      if (channel < 0) ByteReader::fail();
    }
    if (!choice.energies.emplace(std::move(layer), std::move(energy)).second) ByteReader::fail();
  }
  if (in.number(1) == 1) choice.nuq = read_outcome(in);
  return choice;
}

}  // namespace amct
