#include "data/preprocess.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/suggestion.h"

namespace amct {
namespace {

constexpr int kMaxSide = 1 << 16;

const std::vector<std::string> kPresets = {"imagenet", "imagenet-tf", "cifar", "mnist", "unit"};
const std::vector<std::string> kKeys = {"resize", "crop", "mean", "std", "color", "layout", "filter"};

Error bad(std::string message, std::string hint = {}) {
  return Error(ErrorCode::kConfig, "--preprocess: " + std::move(message), {}, std::move(hint));
}

std::optional<PreprocessSpec> preset(std::string_view name) {
  PreprocessSpec spec;
  if (name == "imagenet" || name == "imagenet-tf") {
    spec.resize = 256;
    spec.crop = {224, 224};
    const bool torch = name == "imagenet";
    spec.mean = torch ? std::vector<float>{123.675f, 116.28f, 103.53f} : std::vector<float>{127.5f};
    spec.std = torch ? std::vector<float>{58.395f, 57.12f, 57.375f} : std::vector<float>{127.5f};
  } else if (name == "cifar" || name == "unit") {
    spec.std = {255.0f};
  } else if (name == "mnist") {
    spec.color = PreprocessSpec::Color::kGrey;
  } else {
    return std::nullopt;
  }
  return spec;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find_first_of(separators);
    const std::string_view part = trimmed(text.substr(0, end));
    if (!part.empty()) parts.push_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename T>
T number(std::string_view key, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw bad(fmt::format("'{}' is not a number that {} can have", text, key));
  }
  return value;
}

std::vector<int> sides(std::string_view key, std::string_view value) {
  std::vector<int> result;
  for (const std::string_view part : split(value, "x")) {
    result.push_back(number<int>(key, part));
    if (result.back() < 1 || result.back() > kMaxSide) {
      throw bad(fmt::format("{}={} is not between 1 and {}", key, value, kMaxSide));
    }
  }
  if (result.empty() || result.size() > 2) throw bad(fmt::format("{} takes one number or HEIGHTxWIDTH", key));
  return result;
}

std::vector<float> floats(std::string_view key, std::string_view value) {
  std::vector<float> result;
  for (const std::string_view part : split(value, "/ ")) {
    result.push_back(number<float>(key, part));
    if (!std::isfinite(result.back())) throw bad(fmt::format("{} must be finite", key));
  }
  if (result.size() != 1 && result.size() != 3) {
    throw bad(fmt::format("{} takes one number or three (one per channel)", key), "write them as 123.7/116.3/103.5");
  }
  return result;
}

template <typename T>
T choice(std::string_view key, std::string_view value, const std::vector<std::pair<std::string, T>>& choices) {
  std::vector<std::string> names;
  for (const auto& [name, meaning] : choices) {
    if (name == value) return meaning;
    names.push_back(name);
  }
  throw bad(fmt::format("{}={} is not known", key, value), fmt::format("use one of {}", fmt::join(names, ", ")));
}

void set(PreprocessSpec& spec, std::string_view key, std::string_view value) {
  using Spec = PreprocessSpec;
  if (key == "resize") {
    const auto given = sides(key, value);
    spec.resize = given.size() == 1 ? given[0] : 0;
    spec.resize_to = given.size() == 2 ? given : std::vector<int>{};
  } else if (key == "crop") {
    spec.crop = sides(key, value);
    if (spec.crop.size() == 1) spec.crop.push_back(spec.crop[0]);
  } else if (key == "mean") {
    spec.mean = floats(key, value);
  } else if (key == "std") {
    spec.std = floats(key, value);
    if (std::ranges::any_of(spec.std, [](float value) { return value <= 0; })) throw bad("std must be positive");
  } else if (key == "color") {
    spec.color = choice<Spec::Color>(
        key, value, {{"rgb", Spec::Color::kRgb}, {"bgr", Spec::Color::kBgr}, {"grey", Spec::Color::kGrey}});
  } else if (key == "layout") {
    spec.layout = choice<Spec::Layout>(key, value,
                                       {{"nchw", Spec::Layout::kChannelsFirst}, {"nhwc", Spec::Layout::kChannelsLast}});
  } else if (key == "filter") {
    spec.filter = choice<Spec::Filter>(
        key, value,
        {{"antialias", Spec::Filter::kAntialias}, {"area", Spec::Filter::kArea}, {"nearest", Spec::Filter::kNearest}});
  } else {
    throw bad(fmt::format("'{}' is not known", key),
              suggestion(key, kKeys, fmt::format("keys are {}", fmt::join(kKeys, ", "))));
  }
}

}  // namespace

PreprocessSpec parse_preprocess(std::string_view text) {
  PreprocessSpec spec;
  const auto parts = split(text, ",");
  if (parts.empty()) throw bad("nothing is given", fmt::format("presets are {}", fmt::join(kPresets, ", ")));
  bool own_mean = false, own_std = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    if (equals != std::string_view::npos) {
      const std::string_view key = trimmed(parts[i].substr(0, equals));
      own_mean = own_mean || key == "mean";
      own_std = own_std || key == "std";
      set(spec, key, trimmed(parts[i].substr(equals + 1)));
      continue;
    }
    const auto known = i == 0 ? preset(parts[i]) : std::nullopt;
    if (!known) {
      throw bad(fmt::format("'{}' is not a preset{}", parts[i], i == 0 ? "" : " in the first place, nor key=value"),
                suggestion(parts[i], kPresets, fmt::format("presets are {}", fmt::join(kPresets, ", "))));
    }
    spec = *known;
  }
  if (spec.color == PreprocessSpec::Color::kBgr) {
    if (!own_mean) std::ranges::reverse(spec.mean);
    if (!own_std) std::ranges::reverse(spec.std);
  }
  const bool grey = spec.color == PreprocessSpec::Color::kGrey;
  if (grey && (spec.mean.size() > 1 || spec.std.size() > 1)) {
    throw bad("a grey image has one mean and one std", "give one number each");
  }
  if (own_std && std::ranges::all_of(spec.std, [](float value) { return value < 1; })) {
    log_warning("--preprocess: mean and std are on the scale 0..255; multiply values like 0.485 by 255");
  }
  return spec;
}

}  // namespace amct
