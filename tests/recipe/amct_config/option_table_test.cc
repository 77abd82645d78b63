// The option table, the readers of both forms and the page agree: every field is read by the one, every JSON key by the
// other, illegal values are refused by both.
#include "recipe/amct_config/option_table.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "recipe/amct_config/cfg_file.h"
#include "recipe/amct_config/explicit_json.h"

namespace amct::config {
namespace {

// Texts of a message that has this field (and the required ones), from the whole file down to it.
std::string around(const std::string& message, const std::string& inside) {
  if (message == messages().front().name) return inside;
  for (const Message& outer : messages()) {
    for (const Field& f : outer.fields) {
      if (f.message != message || f.name == "nuq_config") continue;
      std::string text = fmt::format("{} {{ {} }}", f.name, inside);
      for (const Field& other : outer.fields) {
        if (!other.required || other.name == f.name) continue;
        if (other.type == FieldType::kString) text += fmt::format(" {}: \"x\"", other.name);
        if (other.type == FieldType::kUInt) text += fmt::format(" {}: 0", other.name);
        if (other.type == FieldType::kMessage) text += fmt::format(" {} {{ }}", other.name);
      }
      return around(std::string(outer.name), text);
    }
  }
  return around(messages().front().name == message ? message : "AMCTConfig", "nuq_config { " + inside + " }");
}

std::string required_beside(const Message& message, const Field& field) {
  std::string text;
  for (const Field& other : message.fields) {
    if (!other.required || other.name == field.name) continue;
    if (other.type == FieldType::kString) text += fmt::format("{}: \"x\" ", other.name);
    if (other.type == FieldType::kUInt) text += fmt::format("{}: 0 ", other.name);
    if (other.type == FieldType::kMessage) text += fmt::format("{} {{ }} ", other.name);
  }
  return text;
}

std::string legal_value(const Field& field) {
  switch (field.type) {
    case FieldType::kBool: return field.name == "weight_offset" || field.name == "channel_wise" ? "false" : "true";
    case FieldType::kString: return "\"y\"";
    case FieldType::kEnum: return std::string(field.names.back());
    default: break;
  }
  if (!field.legal.one_of.empty()) return fmt::format("{}", field.legal.one_of.front());
  return field.fallback.empty() ? "0" : std::string(field.fallback);
}

std::vector<std::string> illegal_values(const Legal& legal) {
  std::vector<std::string> values;
  if (!legal.one_of.empty()) values.push_back("5");
  if (std::isfinite(legal.low)) values.push_back(fmt::format("{}", legal.above_low ? legal.low : legal.low - 1));
  if (std::isfinite(legal.high)) values.push_back(fmt::format("{}", legal.below_high ? legal.high : legal.high + 1));
  return values;
}

bool reads(const std::string& text) {
  try {
    parse_cfg(text, "x.cfg");
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST(OptionTableTest, TheCfgReaderTakesEveryFieldAndRefusesWhatIsNotLegal) {
  for (const Message& message : messages()) {
    for (const Field& field : message.fields) {
      const auto text = [&](const std::string& value) {
        const std::string own =
            field.type == FieldType::kMessage
                ? fmt::format("{} {{ {} }}", field.name, required_beside(amct::config::message(field.message), Field{}))
                : fmt::format("{}: {}", field.name, value);
        return around(std::string(message.name), required_beside(message, field) + own);
      };
      SCOPED_TRACE(text(legal_value(field)));
      EXPECT_TRUE(reads(text(legal_value(field))));
      if (field.type == FieldType::kMessage) continue;
      EXPECT_FALSE(reads(text("{ }")));
      for (const std::string& value : illegal_values(field.legal)) EXPECT_FALSE(reads(text(value))) << value;
    }
  }
}

ExplicitConfig everything() {
  ExplicitConfig config;
  config.model.force_fp16_quant = true;
  config.model.skip_fusion_layers = {{"c"}};
  config.model.tensors = {{{"pool"}, 1, {}}};
  LayerSettings arq{.layer = {"arq"}};
  arq.settings.weight.channel_wise = true;
  arq.settings.activation.asymmetric = false;
  arq.settings.migration_strength = 0.3;
  LayerSettings ada{.layer = {"ada"}};
  ada.settings.weight.algorithm = WeightSettings::Algorithm::kAdaRound;
  ada.settings.activation.search.method = ClipSearch::Method::kHfmg;
  LayerSettings nuq{.layer = {"nuq"}};
  nuq.settings.weight.algorithm = WeightSettings::Algorithm::kNuq;
  config.layers = {arq, ada, nuq};
  return config;
}

TEST(OptionTableTest, TheJsonWriterWritesEveryKeyOfTheTableAndNoOther) {
  const auto json = nlohmann::json::parse(format_explicit(everything()));
  std::set<std::string> written, known{"version", "quant_enable", "activation_quant_params.act_algo",
                                       "weight_quant_params.wts_algo", "activation_quant_params"};
  for (const auto& [key, value] : json.items()) {
    const bool layer = value.is_object();
    if (!layer) written.insert(key);
    if (key == "tensor_quantize") {
      for (const auto& [inner, unused] : value[0].items()) written.insert(inner);
    }
    if (!layer) continue;
    for (const auto& [inner, part] : value.items()) {
      if (!part.is_object()) written.insert(inner);
      if (!part.is_object()) continue;
      for (const auto& [leaf, unused] : part.items()) written.insert(inner + "." + leaf);
    }
  }
  for (const Message& message : messages()) {
    for (const Field& field : message.fields) {
      if (!field.json.empty()) known.emplace(field.json);
    }
  }
  EXPECT_EQ(written, known);
}

TEST(OptionTableTest, TheJsonReaderTakesWhatTheWriterWrites) {
  const std::string text = format_explicit(everything());
  EXPECT_EQ(format_explicit(parse_explicit(text, "x.json")), text);
}

TEST(OptionTableTest, TheJsonReaderRefusesWhatIsNotLegal) {
  for (const Message& message : messages()) {
    for (const Field& field : message.fields) {
      if (field.json.empty() || (field.type != FieldType::kUInt && field.type != FieldType::kFloat)) continue;
      auto json = nlohmann::ordered_json::parse(format_explicit(everything()));
      const std::string path = std::string(field.json);
      const size_t dot = path.find('.');
      // Every place that has the key gets an illegal number.
      double bad = field.legal.one_of.empty() ? (std::isfinite(field.legal.low) ? field.legal.low - 1 : 5) : 5;
      int places = 0;
      const auto spoil = [&](nlohmann::ordered_json& object) {
        nlohmann::ordered_json* at = &object;
        if (dot != std::string::npos) {
          if (!at->contains(path.substr(0, dot))) return;
          at = &(*at)[path.substr(0, dot)];
        }
        const std::string leaf = dot == std::string::npos ? path : path.substr(dot + 1);
        if (!at->contains(leaf)) return;
        ++places;
        if ((*at)[leaf].is_array()) {
          (*at)[leaf][field.name.ends_with("_end") ? 1 : 0] = bad;
        } else {
          (*at)[leaf] = bad;
        }
      };
      spoil(json);
      for (auto& [key, value] : json.items()) {
        if (value.is_object()) spoil(value);
        if (key == "tensor_quantize") spoil(value[0]);
      }
      EXPECT_GT(places, 0) << field.json;
      EXPECT_THROW(parse_explicit(json.dump(), "x.json"), Error) << field.name;
    }
  }
}

TEST(OptionTableTest, ConfigurationDocIsWhatTheTableSays) {
  const std::string path = "docs/configuration.md";
  if (std::getenv("AMCT_UPDATE_DOCS") != nullptr) write_file(path, options_markdown());
  EXPECT_EQ(read_text(path), options_markdown()) << "AMCT_UPDATE_DOCS=1 ctest -R OptionTable writes the file";
}

TEST(ExplicitJsonTest, ReportsAllFaultsWithTheirPlaces) {
  try {
    parse_explicit(R"({"batch_num": 0, "batchnum": 3, "conv": {"quant_enabled": true,
      "activation_quant_params": {"act_algo": "hfmg", "search_step": 0.1, "num_bits": 4},
      "weight_quant_params": {"wts_algo": "arq", "num_bits": 9}}, "conv": {}, "skip_fusion_layers": ["a", "a", 1]})",
                   "x.json");
    FAIL();
  } catch (const ErrorList& list) {
    std::string all;
    for (const Error& error : list.errors()) all += std::string(error.what()) + "\n";
    for (const char* part :
         {"batch_num of the configuration is 0, must be >= 1, in x.json:1:15", "has no field 'batchnum'",
          "did you mean 'batch_num'?", "unknown field 'quant_enabled'", "did you mean 'quant_enable'?",
          "unknown field 'search_step'", "num_bits of activation_quant_params of layer 'conv' is 4",
          "wts_algo of weight_quant_params of layer 'conv' is 'arq'", "is 9, must be one of 4, 6, 7, 8",
          "layer 'conv' stands twice", "'a' stands twice in skip_fusion_layers",
          "an item of skip_fusion_layers is no string"}) {
      EXPECT_NE(all.find(part), std::string::npos) << part << "\nin\n" << all;
    }
  }
}

}  // namespace
}  // namespace amct::config
